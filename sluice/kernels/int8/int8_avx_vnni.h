#pragma once

// Integer dot products with AVX-VNNI. $SLUICE_EMULATE_VNNI is defined for tests on processors that lack it.

#include "sluice/kernels/int8/bytes_avx2.h"

namespace sluice::kernels {
namespace {

constexpr bool kSignedWide = false;
constexpr bool kHasWordSums = false;
using WordSums = i32x16;  // a name for what has none here

/// sum[i] += w[4 i] x[4 i] + ... + w[4 i + 3] x[4 i + 3]; w unsigned, x signed.
#ifdef SLUICE_EMULATE_VNNI
inline __m256i dot4_eight(__m256i sum, __m256i w, __m256i x) {
  uint8_t a[32];
  int8_t b[32];
  int32_t out[8];
  std::memcpy(a, &w, sizeof a);
  std::memcpy(b, &x, sizeof b);
  std::memcpy(out, &sum, sizeof out);
  for (int i = 0; i < 32; ++i) out[i / 4] += a[i] * b[i];
  return load32(out);
}
#else
inline __m256i dot4_eight(__m256i sum, __m256i w, __m256i x) {
  return _mm256_dpbusd_avx_epi32(sum, w, x);
}
#endif

template <bool wide>
inline i32x16 dot4_each(i32x16 sum, u8x64 w, int32_t x) {
  const __m256i all = _mm256_set1_epi32(x);
  return {dot4_eight(sum.lo, w.lo, all), dot4_eight(sum.hi, w.hi, all)};
}
template <bool wide>
inline i32x16 dot8_each(i32x16 sum, u8x64 w, int32_t x, u8x64 v, int32_t y) {
  return dot4_each<wide>(dot4_each<wide>(sum, w, x), v, y);
}

/// A sum of products, lane by lane.
template <class F>
struct LaneSum {
  Ints sum;
  /// Adds w times x, the i-th of n that are added.
  template <int i, int n>
  [[gnu::always_inline]] void add(Bytes w, Bytes x) {
    sum.v = dot4_eight(sum.v, w.v, x.v);
  }
};

}  // namespace
}  // namespace sluice::kernels
