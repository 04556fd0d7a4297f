#pragma once

// Integer dot products in AVX2, which sums two products in 16 bits.

#include "sluice/kernels/int8/bytes_avx2.h"

namespace sluice::kernels {
namespace {

constexpr bool kSignedWide = true;  // wide codes come to products less 128

/// Eight sums of four products. Pairs are summed in 16 bits, which magnitudes up to 128 cannot overflow: wide codes come
/// less 128, and x takes their signs.
template <bool wide>
inline __m256i dot4_eight(__m256i sum, __m256i w, __m256i x) {
  const __m256i pairs = wide ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
                             : _mm256_maddubs_epi16(w, x);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
template <bool wide>
inline i32x16 dot4_each(i32x16 sum, u8x64 w, int32_t x) {
  const __m256i all = _mm256_set1_epi32(x);
  return {dot4_eight<wide>(sum.lo, w.lo, all), dot4_eight<wide>(sum.hi, w.hi, all)};
}

/// dot4 of w and x, then of v and y. Codes that are not wide are at most 64, so that four products fit 16 bits.
template <bool wide>
inline __m256i dot8_eight(__m256i sum, __m256i w, __m256i x, __m256i v, __m256i y) {
  if constexpr (wide) {
    return dot4_eight<wide>(dot4_eight<wide>(sum, w, x), v, y);
  } else {
    const __m256i fours = _mm256_add_epi16(_mm256_maddubs_epi16(w, x), _mm256_maddubs_epi16(v, y));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(fours, _mm256_set1_epi16(1)));
  }
}
template <bool wide>
inline i32x16 dot8_each(i32x16 sum, u8x64 w, int32_t x, u8x64 v, int32_t y) {
  const __m256i all = _mm256_set1_epi32(x), later = _mm256_set1_epi32(y);
  return {dot8_eight<wide>(sum.lo, w.lo, all, v.lo, later),
          dot8_eight<wide>(sum.hi, w.hi, all, v.hi, later)};
}

/// Sums of products of pairs of bytes in 16 bits; who adds keeps them below 2^15.
struct WordSums {
  __m256i lo = _mm256_setzero_si256(), hi = _mm256_setzero_si256();
};
constexpr bool kHasWordSums = true;

inline WordSums operator+(WordSums a, WordSums b) {
  return {_mm256_add_epi16(a.lo, b.lo), _mm256_add_epi16(a.hi, b.hi)};
}
inline WordSums word_dot_each(WordSums sum, u8x64 w, int32_t x) {
  const __m256i all = _mm256_set1_epi32(x);
  return sum + WordSums{_mm256_maddubs_epi16(w.lo, all), _mm256_maddubs_epi16(w.hi, all)};
}
inline __m256i widen_words(__m256i words) { return _mm256_madd_epi16(words, _mm256_set1_epi16(1)); }
/// Sums of two neighbours each.
inline i32x16 widen_sums(WordSums words) { return {widen_words(words.lo), widen_words(words.hi)}; }

/// A sum of products, lane by lane: in 16 bits as long as they fit.
template <class F>
struct LaneSum {
  Ints sum;
  __m256i words;
  /// Adds w times x, the i-th of n that are added.
  template <int i, int n>
  [[gnu::always_inline]] void add(Bytes w, Bytes x) {
    if constexpr (F::kWide) {
      sum.v = dot4_eight<true>(sum.v, w.v, x.v);
    } else {
      constexpr int kFit = 128 / F::kMost;  // of codes up to kMost, two a lane
      const __m256i pairs = _mm256_maddubs_epi16(w.v, x.v);
      words = i % kFit == 0 ? pairs : _mm256_add_epi16(words, pairs);
      if (i % kFit == kFit - 1 || i == n - 1) sum.v = _mm256_add_epi32(sum.v, widen_words(words));
    }
  }
};
}  // namespace
}  // namespace sluice::kernels
