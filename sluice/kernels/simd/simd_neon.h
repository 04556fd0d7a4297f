#pragma once

// Sixteen float lanes in four NEON registers (AArch64). The names are simd_portable.h's.

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

namespace sluice::kernels {
namespace {

using u8x16 = uint8_t __attribute__((vector_size(16)));

struct f32x16 {
  float32x4_t v[4];
};
struct i32x16 {
  int32x4_t v[4];
};

constexpr int kTileRows = 1;
constexpr int kTileTokens = 6;
constexpr int kAttendQueries = 2;
constexpr int kAttendSums = 4;
constexpr int kAttendDecodeFrom = 1 << 30;  // conversion is one instruction

template <class To, class Each>
inline To each(Each f) {
  return {{f(0), f(1), f(2), f(3)}};
}

inline f32x16 splat(float a) {
  return each<f32x16>([=](int) { return vdupq_n_f32(a); });
}
inline f32x16 load(const void* p) {
  const uint8_t* bytes = static_cast<const uint8_t*>(p);
  return each<f32x16>([=](int i) { return vreinterpretq_f32_u8(vld1q_u8(bytes + 16 * i)); });
}
inline void store(float* p, f32x16 a) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.v[i]);
}
inline f32x16 operator+(f32x16 a, f32x16 b) {
  return each<f32x16>([&](int i) { return vaddq_f32(a.v[i], b.v[i]); });
}
inline f32x16 operator-(f32x16 a, f32x16 b) {
  return each<f32x16>([&](int i) { return vsubq_f32(a.v[i], b.v[i]); });
}
inline f32x16 operator*(f32x16 a, f32x16 b) {
  return each<f32x16>([&](int i) { return vmulq_f32(a.v[i], b.v[i]); });
}
inline f32x16 operator/(f32x16 a, f32x16 b) {
  return each<f32x16>([&](int i) { return vdivq_f32(a.v[i], b.v[i]); });
}
inline f32x16 mul_add(f32x16 a, f32x16 b, f32x16 c) {
  return each<f32x16>([&](int i) { return vfmaq_f32(c.v[i], a.v[i], b.v[i]); });
}
inline f32x16 if_less(f32x16 a, f32x16 b, f32x16 x, f32x16 y) {
  return each<f32x16>([&](int i) { return vbslq_f32(vcltq_f32(a.v[i], b.v[i]), x.v[i], y.v[i]); });
}
// vminq and vmaxq give NaN when one operand is: not the same rule as the other sets'.
inline f32x16 min(f32x16 a, f32x16 b) { return if_less(a, b, a, b); }
inline f32x16 max(f32x16 a, f32x16 b) { return if_less(b, a, a, b); }

inline float tree_sum(f32x16 a) {
  const float32x4_t four = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
inline void tree_sums(const f32x16 (&a)[kAttendSums], float* out) {
  for (int i = 0; i < kAttendSums; ++i) out[i] = tree_sum(a[i]);
}
inline float tree_max(f32x16 a) {
  return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.v[0], a.v[2]), vmaxq_f32(a.v[1], a.v[3])));
}

inline i32x16 splat_int(int32_t a) {
  return each<i32x16>([=](int) { return vdupq_n_s32(a); });
}
inline i32x16 load_int(const int32_t* p) {
  return each<i32x16>([=](int i) { return vld1q_s32(p + 4 * i); });
}
inline i32x16 bits(f32x16 a) {
  return each<i32x16>([&](int i) { return vreinterpretq_s32_f32(a.v[i]); });
}
inline f32x16 floats(i32x16 a) {
  return each<f32x16>([&](int i) { return vreinterpretq_f32_s32(a.v[i]); });
}
inline f32x16 to_float(i32x16 a) {
  return each<f32x16>([&](int i) { return vcvtq_f32_s32(a.v[i]); });
}
inline i32x16 operator+(i32x16 a, i32x16 b) {
  return each<i32x16>([&](int i) { return vaddq_s32(a.v[i], b.v[i]); });
}
inline i32x16 operator-(i32x16 a, i32x16 b) {
  return each<i32x16>([&](int i) { return vsubq_s32(a.v[i], b.v[i]); });
}
inline i32x16 operator&(i32x16 a, i32x16 b) {
  return each<i32x16>([&](int i) { return vandq_s32(a.v[i], b.v[i]); });
}
inline i32x16 operator|(i32x16 a, i32x16 b) {
  return each<i32x16>([&](int i) { return vorrq_s32(a.v[i], b.v[i]); });
}
template <int n>
inline i32x16 shift_left(i32x16 a) {
  return each<i32x16>([&](int i) { return vshlq_n_s32(a.v[i], n); });
}
template <int n>
inline i32x16 shift_right(i32x16 a) {
  return each<i32x16>(
      [&](int i) { return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a.v[i]), n)); });
}
template <int n>
inline i32x16 shift_right_signed(i32x16 a) {
  return each<i32x16>([&](int i) { return vshrq_n_s32(a.v[i], n); });
}
inline i32x16 shift_right_each(i32x16 a, i32x16 n) {
  return each<i32x16>([&](int i) {
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a.v[i]), vnegq_s32(n.v[i])));
  });
}

inline i32x16 widen_u8(u8x16 a) {
  const uint8x16_t b = (uint8x16_t)a;
  const uint16x8_t lo = vmovl_u8(vget_low_u8(b)), hi = vmovl_u8(vget_high_u8(b));
  return {{vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(lo))),
           vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(lo))),
           vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(hi))),
           vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(hi)))}};
}
inline i32x16 widen_i8(u8x16 a) {
  const int8x16_t b = (int8x16_t)a;
  const int16x8_t lo = vmovl_s8(vget_low_s8(b)), hi = vmovl_s8(vget_high_s8(b));
  return {{vmovl_s16(vget_low_s16(lo)), vmovl_s16(vget_high_s16(lo)), vmovl_s16(vget_low_s16(hi)),
           vmovl_s16(vget_high_s16(hi))}};
}
inline i32x16 spread(u8x16 source, const uint8_t* index) {
  return each<i32x16>([&](int i) {
    return vreinterpretq_s32_u8(vqtbl1q_u8((uint8x16_t)source, vld1q_u8(index + 16 * i)));
  });
}
inline u8x16 lookup_bytes(u8x16 table, u8x16 index) {
  return (u8x16)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)index);
}
inline f32x16 lookup8(const float* table, i32x16 index) {
  const uint8x16x2_t bytes = {vreinterpretq_u8_f32(vld1q_f32(table)),
                              vreinterpretq_u8_f32(vld1q_f32(table + 4))};
  return each<f32x16>([&](int i) {  // a float's four bytes are at 4 index + 0, 1, 2, 3
    const int32x4_t low = vandq_s32(index.v[i], vdupq_n_s32(7));
    const int32x4_t at = vmlaq_n_s32(vdupq_n_s32(0x03020100), low, 0x04040404);
    return vreinterpretq_f32_u8(vqtbl2q_u8(bytes, vreinterpretq_u8_s32(at)));
  });
}

/// Sixteen 16-bit integers or floats.
struct u16x16 {
  uint16x8_t v[2];
};
inline uint16x8_t load_eight_halves(const void* p) {
  return vreinterpretq_u16_u8(vld1q_u8(static_cast<const uint8_t*>(p)));
}
inline u16x16 load_halves(const void* p) {
  return {{load_eight_halves(p), load_eight_halves(static_cast<const uint8_t*>(p) + 16)}};
}
inline void store_halves(void* p, uint16x8_t lo, uint16x8_t hi) {
  vst1q_u8(static_cast<uint8_t*>(p), vreinterpretq_u8_u16(lo));
  vst1q_u8(static_cast<uint8_t*>(p) + 16, vreinterpretq_u8_u16(hi));
}
inline i32x16 widen_u16(u16x16 a) {
  return {{vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(a.v[0]))),
           vreinterpretq_s32_u32(vmovl_high_u16(a.v[0])),
           vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(a.v[1]))),
           vreinterpretq_s32_u32(vmovl_high_u16(a.v[1]))}};
}
inline f32x16 from_f16(u16x16 a) {
  const float16x8_t lo = vreinterpretq_f16_u16(a.v[0]), hi = vreinterpretq_f16_u16(a.v[1]);
  return {{vcvt_f32_f16(vget_low_f16(lo)), vcvt_high_f32_f16(lo), vcvt_f32_f16(vget_low_f16(hi)),
           vcvt_high_f32_f16(hi)}};
}
inline i32x16 load_u16(const void* p) { return widen_u16(load_halves(p)); }
inline void store_u16(void* p, i32x16 a) {
  const auto low_halves = [](int32x4_t b, int32x4_t c) {
    return vuzp1q_u16(vreinterpretq_u16_s32(b), vreinterpretq_u16_s32(c));
  };
  store_halves(p, low_halves(a.v[0], a.v[1]), low_halves(a.v[2], a.v[3]));
}
inline f32x16 load_f16(const void* p) { return from_f16(load_halves(p)); }
inline float half_to_float(uint16_t h) {
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h))), 0);
}
inline void store_f16(void* p, f32x16 a) {
  const auto halves = [](float32x4_t b, float32x4_t c) {
    return vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(b), c));
  };
  store_halves(p, halves(a.v[0], a.v[1]), halves(a.v[2], a.v[3]));
}

}  // namespace
}  // namespace sluice::kernels

#include "sluice/kernels/simd/linear_body.h"
