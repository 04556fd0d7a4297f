#pragma once

// The two products of attention on codes of 4 bits, in integers: one operand is codes, 16 positions (or 16 channels) side
// by side, the other a query (or p) rounded to 8 bits, 32 channels (or positions) with one unit. Sums of integers
// are exact, so that only units are added in a written order.

#include "sluice/kernels/attention/coded_rows_body.h"

namespace sluice::kernels {
namespace {

constexpr int64_t kUnit = 32;  ///< elements that share a unit

/// Rounds x[32] to bytes from -127 to 127. Returns their unit, and in `sum` what they add up to.
inline float bytes_of_32(const float* x, std::byte* out, float& sum) {
  const f32x16 a = load(x), b = load(x + 16);
  const float most = tree_max(max(absolute(a), absolute(b)));
  const f32x16 inverse = splat(most > 1e-30F ? 127.0F / most : 0.0F);
  const i32x16 first = codes_of<8>(a, inverse), second = codes_of<8>(b, inverse);
  store_int8(out, first);
  store_int8(out + 16, second);
  sum = tree_sum(to_float(first) + to_float(second));
  return most * (1.0F / 127.0F);
}

/// One operand of a few queries, rounded.
struct RoundedRows {
  const std::byte* bytes;  ///< [n, length]
  const float* units;      ///< [n, length / 32]
  int64_t length;

  int32_t four(int64_t i, int64_t at) const {
    int32_t bytes4;
    std::memcpy(&bytes4, bytes + i * length + at, 4);
    return bytes4;
  }
};

/// out_i[16] = starts[i] + the sum over k of row i's k-th element and the codes at k: 64 bytes have those of eight k, 16 lanes
/// of four bytes, the low halves first. out: [nq, out_stride].
template <int nq>
inline void nibble_product(const std::byte* codes, const RoundedRows& x, const float* starts,
                           float* out, int64_t out_stride) {
  constexpr int64_t kAhead = 1024;  // bytes: a processor's own prefetcher stops at a page's end
  f32x16 total[nq];
  for (int i = 0; i < nq; ++i) total[i] = splat(starts[i]);
  for (int64_t k = 0; k < x.length; k += kUnit) {
    i32x16 sums[nq];
    for (int i = 0; i < nq; ++i) sums[i] = splat_int(0);
    for (int64_t eight = k; eight < k + kUnit; eight += 8, codes += 64) {
      __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(codes) + kAhead),
                         0, 2);
      u8x64 low, high;
      split_nibbles(load_bytes64(codes), low, high);
      for (int i = 0; i < nq; ++i)
        sums[i] = dot8_each<false>(sums[i], low, x.four(i, eight), high, x.four(i, eight + 4));
    }
    for (int i = 0; i < nq; ++i) {
      const float unit = x.units[(i * x.length + k) / kUnit];
      total[i] = mul_add(to_float(sums[i]), splat(unit), total[i]);
    }
  }
  for (int i = 0; i < nq; ++i) store(out + i * out_stride, total[i]);
}

/// The same for n queries, a few at a time. starts: [n].
inline void nibble_products(const std::byte* codes, RoundedRows x, int64_t n, const float* starts,
                            float* out, int64_t out_stride) {
  for (int64_t i = 0; i < n; i += kAttendQueries) {
    const RoundedRows some{x.bytes + i * x.length, x.units + i * x.length / kUnit, x.length};
    with_count(n - i < kAttendQueries ? n - i : kAttendQueries, [&]<int nq>() {
      nibble_product<nq>(codes, some, starts + i, out + i * out_stride, out_stride);
    });
  }
}

}  // namespace
}  // namespace sluice::kernels
