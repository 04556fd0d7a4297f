#pragma once

// One token's step of a matrix that a layer carries from token to token. Rows are independent of each other; a row's
// products are in the canonical order of kernels.h.

#include "sluice/kernels/float/elementwise_body.h"

namespace sluice::kernels {
namespace {

/// Four rows are under way at once, so that one's sum is waited for while others go on.
constexpr int kStateRows = 4;

template <int n_rows>
inline void state_rows(const StateStep& s, int64_t first) {
  float* const rows = s.state + first * s.n_cols;
  const auto decayed = [&](int64_t i, int64_t m, int r) __attribute__((always_inline)) {
    const f32x16 decay = s.decays != nullptr ? load_lanes(s.decays + i, m) : splat(s.decay);
    return load_lanes(rows + r * s.n_cols + i, m) * decay;
  };
  const float* const compared = s.delta ? s.key : s.look;
  f32x16 sums[n_rows];
  float added[n_rows], erased[n_rows];
  for (int r = 0; r < n_rows; ++r) sums[r] = splat(0.0F);
  if (compared != nullptr) {
    for_lanes(s.n_cols, [&](int64_t i, int64_t m) {
      const f32x16 key = load_lanes(compared + i, m);
      for (int r = 0; r < n_rows; ++r) sums[r] = mul_add(decayed(i, m, r), key, sums[r]);
    });
  }
  for (int r = 0; r < n_rows; ++r) {
    const float value = s.value[first + r], seen = compared != nullptr ? tree_sum(sums[r]) : 0.0F;
    added[r] = s.beta * (s.delta ? value - seen : value);
    erased[r] = -seen;
    sums[r] = splat(0.0F);
  }
  for_lanes(s.n_cols, [&](int64_t i, int64_t m) {
    const f32x16 key = load_lanes(s.key + i, m), query = load_lanes(s.query + i, m);
    for (int r = 0; r < n_rows; ++r) {
      f32x16 now = mul_add(splat(added[r]), key, decayed(i, m, r));
      if (s.look != nullptr) now = mul_add(splat(erased[r]), load_lanes(s.erase + i, m), now);
      store_lanes(rows + r * s.n_cols + i, now, m);
      sums[r] = mul_add(now, query, sums[r]);
    }
  });
  for (int r = 0; r < n_rows; ++r) s.out[first + r] = tree_sum(sums[r]);
}

inline void state_step(const StateStep& s) noexcept {
  int64_t r = 0;
  for (; r + kStateRows <= s.n_rows; r += kStateRows) state_rows<kStateRows>(s, r);
  for (; r < s.n_rows; ++r) state_rows<1>(s, r);
}

}  // namespace
}  // namespace sluice::kernels
