#pragma once

// Integer dot products with NEON's dotprod extension, which multiplies signed bytes.

#include "sluice/kernels/int8/bytes_neon.h"

namespace sluice::kernels {
namespace {

constexpr bool kSignedWide = true;  // wide codes come to products less 128

inline int32x4_t dot4_signed(int32x4_t sum, u8x16 w, int8x16_t x) {
  return vdotq_s32(sum, vreinterpretq_s8_u8((uint8x16_t)w), x);
}
inline Ints piece_dot4(Ints sum, Bytes w, Bytes x) {
  return dot4_signed(sum, w, vreinterpretq_s8_u8((uint8x16_t)x));
}
template <bool wide>
inline i32x16 dot4_each(i32x16 sum, u8x64 w, int32_t x) {
  const int8x16_t four = vreinterpretq_s8_s32(vdupq_n_s32(x));
  return each<i32x16>([&](int i) { return dot4_signed(sum.v[i], w.v[i], four); });
}

}  // namespace
}  // namespace sluice::kernels
