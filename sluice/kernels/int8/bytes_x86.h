#pragma once

// What AVX2 and AVX-512 have in common of int8_generic.h's names.

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace sluice::kernels {
namespace {

/// n <= 16 16-bit values, `stride` bytes apart; after them the first one again, or zeros. They meet in general
/// registers: narrow stores would hold up a wide load.
template <int stride>
[[gnu::always_inline]] inline __m256i strided_u16(const void* first, int64_t n) {
  const uint8_t* p = static_cast<const uint8_t*>(first);
  uint64_t four[4] = {};
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) {
      const int at = 4 * i + j;
      uint16_t half;
      std::memcpy(&half, p + (at < n ? at * stride : 0), 2);
      four[i] |= uint64_t{half} << (16 * j);
    }
  }
  return _mm256_set_epi64x(static_cast<int64_t>(four[3]), static_cast<int64_t>(four[2]),
                           static_cast<int64_t>(four[1]), static_cast<int64_t>(four[0]));
}

/// Sixteen 16-bit values in the order of lanes: lane 4 q + v is the one at part[v] + (4 v + q) * stride.
template <int stride>
[[gnu::always_inline]] inline __m256i strided_lanes_u16(const void* const (&part)[4]) {
  uint64_t four[4] = {};
  for (int q = 0; q < 4; ++q) {
    for (int v = 0; v < 4; ++v) {
      uint16_t half;
      std::memcpy(&half, static_cast<const uint8_t*>(part[v]) + (4 * v + q) * stride, 2);
      four[q] |= uint64_t{half} << (16 * v);
    }
  }
  return _mm256_set_epi64x(static_cast<int64_t>(four[3]), static_cast<int64_t>(four[2]),
                           static_cast<int64_t>(four[1]), static_cast<int64_t>(four[0]));
}

/// Scales and offsets of two blocks of q4_k or q5_k, eight each: 6-bit codes, and the float16 they are multiples of.
struct KScalePair {
  __m128i codes, min_codes;
  __m256i unit, min_unit;
};
inline KScalePair unpack_k_scales(const void* p, const void* q) {
  const __m256i head = _mm256_set_m128i(_mm_loadu_si128(static_cast<const __m128i*>(q)),
                                        _mm_loadu_si128(static_cast<const __m128i*>(p)));
  const auto spread = [=](int a, int b, int c, int d) __attribute__((always_inline)) {
    return _mm256_shuffle_epi8(head, _mm256_broadcastsi128_si256(_mm_setr_epi32(a, b, c, d)));
  };
  const int nothing = static_cast<int>(0x80808080);
  const __m256i low = _mm256_srlv_epi32(spread(0x07060504, 0x0f0e0d0c, 0x0b0a0908, 0x0f0e0d0c),
                                        _mm256_setr_epi32(0, 0, 0, 4, 0, 0, 0, 4));
  const __m256i high = _mm256_srli_epi32(spread(nothing, 0x07060504, nothing, 0x0b0a0908), 2);
  const __m256i six = _mm256_set1_epi64x(0x0f0f0f0f3f3f3f3f);
  const __m256i codes =
      _mm256_or_si256(_mm256_and_si256(low, six), _mm256_and_si256(high, _mm256_set1_epi8(0x30)));
  const __m256i apart = _mm256_permute4x64_epi64(codes, 0xd8);
  return {_mm256_castsi256_si128(apart), _mm256_extracti128_si256(apart, 1),
          spread(0x01000100, 0x01000100, 0x01000100, 0x01000100),
          _mm256_xor_si256(spread(0x03020302, 0x03020302, 0x03020302, 0x03020302),
                           _mm256_set1_epi16(-0x8000))};  // what is stored is taken away
}

}  // namespace
}  // namespace sluice::kernels
