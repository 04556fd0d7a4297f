#pragma once

// What int8_generic.h leaves to an instruction set, in NEON; dot products are in int8_neon*.h.

#include "sluice/kernels/simd/simd_neon.h"
//
#include "sluice/kernels/int8/int8_generic.h"

namespace sluice::kernels {
namespace {

inline Floats to_float(Ints a) { return vcvtq_f32_s32(a); }
inline Floats mul_add(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }

inline u8x64 select_bytes(uint64_t where, uint8_t value) {
  const uint8x16_t source = vreinterpretq_u8_u64(vdupq_n_u64(where));
  const uint8x16_t byte = vcombine_u8(vdup_n_u8(0), vdup_n_u8(1));
  const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
  return each_bytes([&](int i) {
    const uint8x16_t at = vaddq_u8(byte, vdupq_n_u8(static_cast<uint8_t>(2 * i)));
    return (u8x16)vandq_u8(vtstq_u8(vqtbl1q_u8(source, at), bit), vdupq_n_u8(value));
  });
}

/// For 16 codes: the byte each begins in and the one after it, shifted by so much (right where negative).
struct SplitPlaces {
  alignas(16) uint8_t first[16];
  alignas(16) uint8_t second[16];
  alignas(16) int8_t first_shift[16];
  alignas(16) int8_t second_shift[16];
};
constexpr SplitPlaces split_places(int bits, int first_byte) {
  SplitPlaces places = {};
  for (int i = 0; i < 16; ++i) {
    const int byte = first_byte + i * bits / 8, shift = i * bits % 8;
    places.first[i] = static_cast<uint8_t>(byte);
    places.second[i] = static_cast<uint8_t>(byte + 1);
    places.first_shift[i] = static_cast<int8_t>(-shift);
    places.second_shift[i] = static_cast<int8_t>(8 - shift);
  }
  return places;
}
/// Codes 16 part to 16 part + 15 of the 64 at p.
template <int bits, int part>
inline u8x16 unpack16(const void* p) {
  constexpr int begin = 2 * bits * part;
  constexpr int from = begin + 16 <= 8 * bits ? begin : 8 * bits - 16;
  static constexpr SplitPlaces places = split_places(bits, begin - from);
  const auto source = (uint8x16_t)load_bytes16(byte_at(p, from));
  uint8x16_t codes =
      vshlq_u8(vqtbl1q_u8(source, vld1q_u8(places.first)), vld1q_s8(places.first_shift));
  if constexpr (8 % bits != 0) {
    const uint8x16_t second = vqtbl1q_u8(source, vld1q_u8(places.second));
    codes = vorrq_u8(codes, vshlq_u8(second, vld1q_s8(places.second_shift)));
  }
  return (u8x16)vandq_u8(codes, vdupq_n_u8((1 << bits) - 1));
}
inline u8x16 interleave_low(u8x16 a, u8x16 b) {
  return (u8x16)vzip1q_u8((uint8x16_t)a, (uint8x16_t)b);
}
inline u8x16 interleave_high(u8x16 a, u8x16 b) {
  return (u8x16)vzip2q_u8((uint8x16_t)a, (uint8x16_t)b);
}
template <int bits>
inline u8x64 unpack_lsb(const void* p) {
  if constexpr (bits == 4) {
    const u8x16 a = load_bytes16(p), b = load_bytes16(byte_at(p, 16));
    return {{interleave_low(a & 15, a >> 4), interleave_high(a & 15, a >> 4),
             interleave_low(b & 15, b >> 4), interleave_high(b & 15, b >> 4)}};
  } else {
    return {
        {unpack16<bits, 0>(p), unpack16<bits, 1>(p), unpack16<bits, 2>(p), unpack16<bits, 3>(p)}};
  }
}

inline void split_fours(u8x64 a, u8x64& first, u8x64& last) {
  for (int i = 0; i < 4; ++i) {
    const u8x16 low = a.v[i] & 15, high = a.v[i] >> 4;
    const auto two = (uint32x4_t)interleave_low(low, high);
    const auto more = (uint32x4_t)interleave_high(low, high);
    first.v[i] = (u8x16)vuzp1q_u32(two, more);
    last.v[i] = (u8x16)vuzp2q_u32(two, more);
  }
}

/// Four lanes of four vectors, transposed.
inline void transpose4(const i32x16* from, int lanes, int32x4_t (&to)[4]) {
  const int32x4_t a = from[0].v[lanes], b = from[1].v[lanes], c = from[2].v[lanes],
                  d = from[3].v[lanes];
  const int64x2_t ab = vreinterpretq_s64_s32(vtrn1q_s32(a, b));
  const int64x2_t cd = vreinterpretq_s64_s32(vtrn1q_s32(c, d));
  const int64x2_t ab_odd = vreinterpretq_s64_s32(vtrn2q_s32(a, b));
  const int64x2_t cd_odd = vreinterpretq_s64_s32(vtrn2q_s32(c, d));
  to[0] = vreinterpretq_s32_s64(vtrn1q_s64(ab, cd));
  to[1] = vreinterpretq_s32_s64(vtrn1q_s64(ab_odd, cd_odd));
  to[2] = vreinterpretq_s32_s64(vtrn2q_s64(ab, cd));
  to[3] = vreinterpretq_s32_s64(vtrn2q_s64(ab_odd, cd_odd));
}
inline void transpose(i32x16* v) {
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j <= i; ++j) {
      int32x4_t here[4], there[4];
      transpose4(v + 4 * i, j, here);
      transpose4(v + 4 * j, i, there);
      for (int k = 0; k < 4; ++k) {
        v[4 * i + k].v[j] = there[k];
        v[4 * j + k].v[i] = here[k];
      }
    }
  }
}

inline void store_int8(void* p, i32x16 a) {
  const auto low_halves = [](int32x4_t b, int32x4_t c) {
    return vreinterpretq_u8_u16(vuzp1q_u16(vreinterpretq_u16_s32(b), vreinterpretq_u16_s32(c)));
  };
  vst1q_u8(static_cast<uint8_t*>(p),
           vuzp1q_u8(low_halves(a.v[0], a.v[1]), low_halves(a.v[2], a.v[3])));
}

/// The 16-bit elements i / repeat of p for i < n; after them as many as complete a run, then zeros.
template <int repeat>
inline u16x16 repeat_u16(const void* p, int64_t n) {
  uint16_t some[16] = {};
  if (n < 16) {
    std::memcpy(some, p, static_cast<size_t>((n + repeat - 1) / repeat) * 2);
    p = some;
  }
  if constexpr (repeat == 1) {
    return load_halves(p);
  } else if constexpr (repeat == 2) {
    const uint16x8_t a = load_eight_halves(p);
    return {{vzip1q_u16(a, a), vzip2q_u16(a, a)}};
  } else {
    uint64_t four;
    std::memcpy(&four, p, sizeof four);
    const uint16x8_t a = vreinterpretq_u16_u64(vdupq_n_u64(four)), twice = vzip1q_u16(a, a);
    return {{vzip1q_u16(twice, twice), vzip2q_u16(twice, twice)}};
  }
}
template <int repeat>
inline f32x16 repeat_f16(const void* p, int64_t n) {
  return from_f16(repeat_u16<repeat>(p, n));
}
template <int repeat>
inline f32x16 repeat_bf16(const void* p, int64_t n) {
  return floats(shift_left<16>(widen_u16(repeat_u16<repeat>(p, n))));
}
template <int stride>
[[gnu::always_inline]] inline f32x16 strided_f16(const void* p, int64_t n) {
  // Into registers: narrow stores would hold up a wide load.
  const auto at = [=](int i) __attribute__((always_inline)) {
    uint16_t half;
    std::memcpy(&half, byte_at(p, i < n ? i * stride : 0), 2);
    return half;
  };
  const uint16x8_t lo = {at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)};
  const uint16x8_t hi = {at(8), at(9), at(10), at(11), at(12), at(13), at(14), at(15)};
  return from_f16({{lo, hi}});
}

}  // namespace
}  // namespace sluice::kernels
