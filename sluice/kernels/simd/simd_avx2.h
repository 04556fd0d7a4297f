#pragma once

// Sixteen float lanes in two AVX2 registers (with FMA and F16C). The names are simd_portable.h's.

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace sluice::kernels {
namespace {

using u8x16 = uint8_t __attribute__((vector_size(16)));

struct f32x16 {
  __m256 lo, hi;
};
struct i32x16 {
  __m256i lo, hi;
};

constexpr int kTileRows = 2;
constexpr int kTileTokens = 3;
constexpr int kAttendQueries = 2;
constexpr int kAttendSums = 4;
constexpr int kAttendDecodeFrom = 1 << 30;  // conversion is one instruction

inline f32x16 splat(float a) { return {_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
inline f32x16 load(const void* p) {
  const __m256i* at = static_cast<const __m256i*>(p);
  return {_mm256_castsi256_ps(_mm256_loadu_si256(at)),
          _mm256_castsi256_ps(_mm256_loadu_si256(at + 1))};
}
inline void store(float* p, f32x16 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline f32x16 operator+(f32x16 a, f32x16 b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
inline f32x16 operator-(f32x16 a, f32x16 b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
inline f32x16 operator*(f32x16 a, f32x16 b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
inline f32x16 operator/(f32x16 a, f32x16 b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
inline f32x16 mul_add(f32x16 a, f32x16 b, f32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline f32x16 if_less(f32x16 a, f32x16 b, f32x16 x, f32x16 y) {
  return {_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
inline f32x16 min(f32x16 a, f32x16 b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
inline f32x16 max(f32x16 a, f32x16 b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}

inline float tree_sum(f32x16 a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
// The trees of four vectors at once: a level pairs what two vectors have left.
inline void tree_sums(const f32x16 (&a)[kAttendSums], float* out) {
  __m128 four[4], two[2];
  for (int i = 0; i < 4; ++i) {
    const __m256 eight = _mm256_add_ps(a[i].lo, a[i].hi);
    four[i] = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  }
  for (int i = 0; i < 2; ++i) {
    two[i] = _mm_add_ps(_mm_movelh_ps(four[2 * i], four[2 * i + 1]),
                        _mm_movehl_ps(four[2 * i + 1], four[2 * i]));
  }
  _mm_storeu_ps(
      out, _mm_add_ps(_mm_shuffle_ps(two[0], two[1], 0x88), _mm_shuffle_ps(two[0], two[1], 0xdd)));
}
inline float tree_max(f32x16 a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

inline i32x16 splat_int(int32_t a) { return {_mm256_set1_epi32(a), _mm256_set1_epi32(a)}; }
inline i32x16 load_int(const int32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
}
inline i32x16 bits(f32x16 a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
inline f32x16 floats(i32x16 a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
inline f32x16 to_float(i32x16 a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
inline i32x16 operator+(i32x16 a, i32x16 b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
inline i32x16 operator-(i32x16 a, i32x16 b) {
  return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
inline i32x16 operator&(i32x16 a, i32x16 b) {
  return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
inline i32x16 operator|(i32x16 a, i32x16 b) {
  return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
template <int n>
inline i32x16 shift_left(i32x16 a) {
  return {_mm256_slli_epi32(a.lo, n), _mm256_slli_epi32(a.hi, n)};
}
template <int n>
inline i32x16 shift_right(i32x16 a) {
  return {_mm256_srli_epi32(a.lo, n), _mm256_srli_epi32(a.hi, n)};
}
template <int n>
inline i32x16 shift_right_signed(i32x16 a) {
  return {_mm256_srai_epi32(a.lo, n), _mm256_srai_epi32(a.hi, n)};
}
inline i32x16 shift_right_each(i32x16 a, i32x16 n) {
  return {_mm256_srlv_epi32(a.lo, n.lo), _mm256_srlv_epi32(a.hi, n.hi)};
}

inline i32x16 widen_u8(u8x16 a) {
  const __m128i low = (__m128i)a;
  return {_mm256_cvtepu8_epi32(low), _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(low, low))};
}
inline i32x16 widen_i8(u8x16 a) {
  const __m128i low = (__m128i)a;
  return {_mm256_cvtepi8_epi32(low), _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(low, low))};
}
inline i32x16 spread(u8x16 source, const uint8_t* index) {
  const __m256i twice = _mm256_broadcastsi128_si256((__m128i)source);
  const __m256i* at = reinterpret_cast<const __m256i*>(index);
  return {_mm256_shuffle_epi8(twice, _mm256_loadu_si256(at)),
          _mm256_shuffle_epi8(twice, _mm256_loadu_si256(at + 1))};
}
inline u8x16 lookup_bytes(u8x16 table, u8x16 index) {
  return (u8x16)_mm_shuffle_epi8((__m128i)table, (__m128i)index);
}
inline f32x16 lookup8(const float* table, i32x16 index) {
  const __m256 values = _mm256_loadu_ps(table);
  return {_mm256_permutevar8x32_ps(values, index.lo), _mm256_permutevar8x32_ps(values, index.hi)};
}

inline i32x16 load_u16(const void* p) {
  const __m128i* at = static_cast<const __m128i*>(p);
  return {_mm256_cvtepu16_epi32(_mm_loadu_si128(at)),
          _mm256_cvtepu16_epi32(_mm_loadu_si128(at + 1))};
}
inline void store_u16(void* p, i32x16 a) {
  const __m256i low = _mm256_set1_epi32(0xffff);
  const __m256i mixed =
      _mm256_packus_epi32(_mm256_and_si256(a.lo, low), _mm256_and_si256(a.hi, low));
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm256_permute4x64_epi64(mixed, 0xd8));
}
inline f32x16 load_f16(const void* p) {
  const __m128i* at = static_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(at)), _mm256_cvtph_ps(_mm_loadu_si128(at + 1))};
}
inline float half_to_float(uint16_t h) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h))); }
inline void store_f16(void* p, f32x16 a) {
  constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  __m128i* at = static_cast<__m128i*>(p);
  _mm_storeu_si128(at, _mm256_cvtps_ph(a.lo, nearest));
  _mm_storeu_si128(at + 1, _mm256_cvtps_ph(a.hi, nearest));
}

}  // namespace
}  // namespace sluice::kernels

#include "sluice/kernels/simd/linear_body.h"
