#pragma once

// The two products of attention on register tiles: scores q . k, and values sum_j p_j v_j. A tile shares
// each key or value vector among its queries; which queries and positions share a tile changes no bit.

#include "sluice/kernels/float/elementwise_body.h"

namespace sluice::kernels {
namespace {

/// Consecutive positions of one head, 16 lanes at a time.
template <KvType type>
struct KvRows {
  static constexpr int64_t kElement = type == KvType::f32 ? 4 : 2;
  const std::byte* data;
  int64_t stride;  ///< elements from one position to the next
  const void*
      next;  ///< what will be read after these rows, or null: to be fetched from memory meanwhile

  static f32x16 load_lanes(const std::byte* p) {
    if constexpr (type == KvType::f32) {
      return load(p);
    } else if constexpr (type == KvType::f16) {
      return load_f16(p);
    } else {
      return load_bf16(p);
    }
  }
  [[gnu::always_inline]] f32x16 at(int64_t position, int64_t d) const {
    return load_lanes(data + (position * stride + d) * kElement);
  }
  /// Asks for the lines of `next` that lie as (position, d ... d + 16 n) does here. A processor's own
  /// prefetcher gives up between tiles: reading from memory is 1.3 to 2 times faster with this.
  template <int n>
  [[gnu::always_inline]] void fetch_next(int64_t position, int64_t d) const {
    if (!next) return;
    const auto at = reinterpret_cast<uintptr_t>(next) +
                    static_cast<uintptr_t>((position * stride + d) * kElement);
    for (int byte = 0; byte < 16 * n * kElement; byte += 64) {
      __builtin_prefetch(reinterpret_cast<const void*>(at + static_cast<uintptr_t>(byte)), 0, 2);
    }
  }
};

/// out[n, lanes] = n rows of head_dim elements in float32, zeros beyond head_dim.
template <KvType type>
inline void decode_rows(KvRows<type> rows, int64_t n, int64_t head_dim, float* out) {
  using Rows = KvRows<type>;
  const int64_t whole = head_dim / 16 * 16;
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t d = 0; d < whole; d += 16, out += 16) {
      if (d % 32 == 0) rows.template fetch_next<2>(j, d);
      store(out, rows.at(j, d));
    }
    if (whole == head_dim) continue;
    alignas(64) std::byte padded[16 * Rows::kElement] = {};
    std::memcpy(padded, rows.data + (j * rows.stride + whole) * Rows::kElement,
                static_cast<size_t>((head_dim - whole) * Rows::kElement));
    store(out, Rows::load_lanes(padded));
    out += 16;
  }
}

/// Positions of a score tile or vectors of a value tile that leave nq queries enough registers.
constexpr int tile_width(int nq) {
  int width = 1;
  while (2 * width * nq <= kAttendSums) width *= 2;
  return width;
}

/// Queries of one tile and where what belongs to them lies.
struct TileQueries {
  const float* q;  ///< [n, lanes]
  int64_t lanes;   ///< head_dim rounded up to 16
  float* p;        ///< [n, kKvBlockTokens]: scores, later exp(s - max)
  float* values;   ///< n rows, values_stride apart: [lanes]
  int64_t values_stride;
};

/// p[i, j] = q_i . k_j for nq queries, positions [j, j + np); k's row 0 is position `first`.
template <int nq, int np, class Rows>
inline void score_tile(const TileQueries& t, const Rows& k, int64_t first, int64_t j) {
  constexpr bool together = nq * np > kAttendSums / 2;
  f32x16 sums[together ? kAttendSums : nq * np] = {};
  int64_t d = 0;
  do {  // at least once, which tells the compiler to keep the sums in registers
    if (d % 32 == 0) {
      for (int m = 0; m < np; ++m) k.template fetch_next<2>(j - first + m, d);
    }
    f32x16 u[nq];
    for (int i = 0; i < nq; ++i) u[i] = load(t.q + i * t.lanes + d);
    for (int m = 0; m < np; ++m) {
      const f32x16 w = k.at(j - first + m, d);
      for (int i = 0; i < nq; ++i) sums[i * np + m] = mul_add(u[i], w, sums[i * np + m]);
    }
    d += 16;
  } while (d < t.lanes);
  float s[kAttendSums];
  if constexpr (together) {
    tree_sums(sums, s);
  } else {
    for (int i = 0; i < nq * np; ++i) s[i] = tree_sum(sums[i]);
  }
  for (int i = 0; i < nq; ++i) std::memcpy(t.p + i * kKvBlockTokens + j, s + i * np, np * 4);
}

/// The same for positions [j, end): np at a time, the rest in ever smaller tiles.
template <int nq, int np, class Rows>
inline void score_positions(const TileQueries& t, const Rows& k, int64_t first, int64_t j,
                            int64_t end) {
  for (; j + np <= end; j += np) score_tile<nq, np>(t, k, first, j);
  if constexpr (np > 1) {
    if (j < end) score_positions<nq, np / 2>(t, k, first, j, end);
  }
}

/// values_i[d ... d + 16 nv) += sum_j p_i[j] v_j for nq queries, j in [begin, end) ascending.
template <int nq, int nv, class Rows>
inline void value_tile(const TileQueries& t, const Rows& v, int64_t first, int64_t begin,
                       int64_t end, int64_t d) {
  f32x16 sums[nq][nv];
  for (int i = 0; i < nq; ++i) {
    for (int m = 0; m < nv; ++m) sums[i][m] = load(t.values + i * t.values_stride + d + 16 * m);
  }
  for (int64_t j = begin; j < end; ++j) {
    v.template fetch_next<nv>(j - first, d);
    f32x16 p[nq];
    for (int i = 0; i < nq; ++i) p[i] = splat(t.p[i * kKvBlockTokens + j]);
    for (int m = 0; m < nv; ++m) {
      const f32x16 w = v.at(j - first, d + 16 * m);
      for (int i = 0; i < nq; ++i) sums[i][m] = mul_add(p[i], w, sums[i][m]);
    }
  }
  for (int i = 0; i < nq; ++i) {
    for (int m = 0; m < nv; ++m) store(t.values + i * t.values_stride + d + 16 * m, sums[i][m]);
  }
}

/// The same for all lanes from d.
template <int nq, int nv, class Rows>
inline void add_values(const TileQueries& t, const Rows& v, int64_t first, int64_t begin,
                       int64_t end, int64_t d = 0) {
  for (; d + 16 * nv <= t.lanes; d += 16 * nv) value_tile<nq, nv>(t, v, first, begin, end, d);
  if constexpr (nv > 1) {
    if (d < t.lanes) add_values<nq, nv / 2>(t, v, first, begin, end, d);
  }
}

}  // namespace
}  // namespace sluice::kernels
