#pragma once

// What AVX2 and AVX-512 have in common of int8_generic.h's names.

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace sluice::kernels {
namespace {

/// n <= most 16-bit values, `stride` bytes apart; after them the first one again, or zeros. They meet in general
/// registers: narrow stores would hold up a wide load.
template <int stride, int most>
[[gnu::always_inline]] inline __m256i strided_u16(const void* first, int64_t n) {
  const uint8_t* p = static_cast<const uint8_t*>(first);
  uint64_t four[4] = {};
  for (int i = 0; i < most / 4; ++i) {
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

}  // namespace
}  // namespace sluice::kernels
