#pragma once

// Sixteen float lanes in one AVX-512 register (F, BW, DQ, VL). The names are simd_portable.h's.

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace sluice::kernels {
namespace {

using u8x16 = uint8_t __attribute__((vector_size(16)));

struct f32x16 {
  __m512 v;
};
struct i32x16 {
  __m512i v;
};

constexpr int kTileRows = 4;
constexpr int kTileTokens = 6;
constexpr int kAttendQueries = 4;
constexpr int kAttendSums = 16;
constexpr int kAttendDecodeFrom = 1 << 30;  // conversion is one instruction

inline f32x16 splat(float a) { return {_mm512_set1_ps(a)}; }
inline f32x16 load(const void* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, f32x16 a) { _mm512_storeu_ps(p, a.v); }
inline f32x16 operator+(f32x16 a, f32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline f32x16 operator-(f32x16 a, f32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline f32x16 operator*(f32x16 a, f32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline f32x16 operator/(f32x16 a, f32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline f32x16 mul_add(f32x16 a, f32x16 b, f32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline f32x16 if_less(f32x16 a, f32x16 b, f32x16 x, f32x16 y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
inline f32x16 min(f32x16 a, f32x16 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline f32x16 max(f32x16 a, f32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }

inline float tree_sum(f32x16 a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
// The trees of sixteen vectors at once: a level adds what two vectors have left, and leaves one. Its
// comment names the vectors whose lanes fill the result's quarters.
inline void tree_sums(const f32x16 (&a)[kAttendSums], float* out) {
  __m512 eight[8], four[4], two[2];
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 2; ++j) {  // i + 8 j twice, i + 8 j + 4 twice
      const __m512 x = a[i + 8 * j].v, y = a[i + 8 * j + 4].v;
      eight[i + 4 * j] =
          _mm512_add_ps(_mm512_mask_blend_ps(0xff00, x, y), _mm512_shuffle_f32x4(x, y, 0x4e));
    }
    const __m512 x = eight[i], y = eight[i + 4];  // i, i + 4, i + 8, i + 12
    four[i] = _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
  }
  for (int i = 0; i < 2;
       ++i) {  // within a quarter: 2 i, 2 i + 1, of which the one's halves are swapped
    const __m512 x = four[2 * i], y = four[2 * i + 1];
    two[i] = _mm512_add_ps(
        _mm512_mask_blend_ps(0xcccc, x, y),
        _mm512_castpd_ps(_mm512_shuffle_pd(_mm512_castps_pd(x), _mm512_castps_pd(y), 0x55)));
  }
  _mm512_storeu_ps(out, _mm512_add_ps(_mm512_shuffle_ps(two[0], two[1], 0x88),
                                      _mm512_shuffle_ps(two[0], two[1], 0xdd)));
}
inline float tree_max(f32x16 a) { return _mm512_reduce_max_ps(a.v); }

inline i32x16 splat_int(int32_t a) { return {_mm512_set1_epi32(a)}; }
inline i32x16 load_int(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline i32x16 bits(f32x16 a) { return {_mm512_castps_si512(a.v)}; }
inline f32x16 floats(i32x16 a) { return {_mm512_castsi512_ps(a.v)}; }
inline f32x16 to_float(i32x16 a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline i32x16 operator+(i32x16 a, i32x16 b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline i32x16 operator-(i32x16 a, i32x16 b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline i32x16 operator&(i32x16 a, i32x16 b) { return {_mm512_and_si512(a.v, b.v)}; }
inline i32x16 operator|(i32x16 a, i32x16 b) { return {_mm512_or_si512(a.v, b.v)}; }
template <int n>
inline i32x16 shift_left(i32x16 a) {
  return {_mm512_slli_epi32(a.v, n)};
}
template <int n>
inline i32x16 shift_right(i32x16 a) {
  return {_mm512_srli_epi32(a.v, n)};
}
template <int n>
inline i32x16 shift_right_signed(i32x16 a) {
  return {_mm512_srai_epi32(a.v, n)};
}
inline i32x16 shift_right_each(i32x16 a, i32x16 n) { return {_mm512_srlv_epi32(a.v, n.v)}; }

inline i32x16 widen_u8(u8x16 a) { return {_mm512_cvtepu8_epi32((__m128i)a)}; }
inline i32x16 widen_i8(u8x16 a) { return {_mm512_cvtepi8_epi32((__m128i)a)}; }
inline i32x16 spread(u8x16 source, const uint8_t* index) {
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4((__m128i)source), _mm512_loadu_si512(index))};
}
inline u8x16 lookup_bytes(u8x16 table, u8x16 index) {
  return (u8x16)_mm_shuffle_epi8((__m128i)table, (__m128i)index);
}
inline f32x16 lookup8(const float* table, i32x16 index) {
  const __m512 twice = _mm512_broadcast_f32x8(_mm256_loadu_ps(table));
  return {_mm512_permutexvar_ps(index.v, twice)};
}

inline i32x16 load_u16(const void* p) {
  return {_mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
inline void store_u16(void* p, i32x16 a) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a.v));
}
inline f32x16 load_f16(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
inline float half_to_float(uint16_t h) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h))); }
inline void store_f16(void* p, f32x16 a) {
  _mm256_storeu_si256(static_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

// All values a code can have are computed once per scale; decoding is one permutation, which reads
// the low four (five) bits of an index only.
struct Linear16 {
  __m512 values;
};
struct Linear32 {
  __m512 low, high;
};
inline __m512 linear_values(float first, float scale, float bias) {
  const __m512 steps = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512 codes = _mm512_add_ps(steps, _mm512_set1_ps(first));
  return _mm512_add_ps(_mm512_mul_ps(codes, _mm512_set1_ps(scale)), _mm512_set1_ps(bias));
}
inline Linear16 make_linear16(float scale, int32_t zero, float bias) {
  return {linear_values(static_cast<float>(zero), scale, bias)};
}
inline Linear32 make_linear32(float scale, int32_t zero, float bias) {
  return {linear_values(static_cast<float>(zero), scale, bias),
          linear_values(static_cast<float>(zero + 16), scale, bias)};
}
inline f32x16 decode16(const Linear16& l, i32x16 codes) {
  return {_mm512_permutexvar_ps(codes.v, l.values)};
}
inline f32x16 decode32(const Linear32& l, i32x16 codes) {
  return {_mm512_permutex2var_ps(l.low, codes.v, l.high)};
}

}  // namespace
}  // namespace sluice::kernels
