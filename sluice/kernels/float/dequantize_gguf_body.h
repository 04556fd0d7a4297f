#pragma once

// GGUF's block formats, as gguf.quants.dequantize of the gguf Python package reads them: 32 columns
// a block, 256 in the K-quants. dequantize_body.h's conventions hold.

#include "sluice/kernels/float/dequantize_body.h"

namespace sluice::kernels {
namespace {

inline u8x16 bytes_of(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  using Four = uint32_t __attribute__((vector_size(16)));
  return (u8x16)(Four{a, b, c, d});
}
inline u8x16 load_codes(const std::byte* p) { return load_as<u8x16>(p); }

/// 16 where bit i of `mask` is set, else 0.
inline i32x16 fifth_bits(uint32_t mask) {
  const i32x16 moved =
      shift_right_each(splat_int(static_cast<int32_t>((mask & 0xffff) << 4)), load_int(kIota.lane));
  return moved & splat_int(16);
}

/// d * (q - zero) with a minimum: q4_0 (zero 8) and q4_1.
template <bool has_min>
struct Q4 {
  static constexpr int kBlock = 32;
  static constexpr int kBlockBytes = has_min ? 20 : 18;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const std::byte* p = row.data + block * kBlockBytes;
    const float min = has_min ? load_half(p + 2) : kNoBias;
    const Linear16 linear = make_linear16(load_half(p), has_min ? 0 : -8, min);
    const i32x16 q = widen_u8(load_codes(p + (has_min ? 4 : 2)));
    sink(0, decode16(linear, q));
    sink(1, decode16(linear, shift_right<4>(q)));
  }
};

/// q5_0 (zero 16) and q5_1: the fifth bits lie apart.
template <bool has_min>
struct Q5 {
  static constexpr int kBlock = 32;
  static constexpr int kBlockBytes = has_min ? 24 : 22;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const std::byte* p = row.data + block * kBlockBytes;
    const float min = has_min ? load_half(p + 2) : kNoBias;
    const Linear32 linear = make_linear32(load_half(p), has_min ? 0 : -16, min);
    p += has_min ? 4 : 2;
    const uint32_t high = load_as<uint32_t>(p);
    const i32x16 q = widen_u8(load_codes(p + 4));
    sink(0, decode32(linear, low_nibbles(q) | fifth_bits(high)));
    sink(1, decode32(linear, shift_right<4>(q) | fifth_bits(high >> 16)));
  }
};

struct Q8 {
  static constexpr int kBlock = 32;
  static constexpr int kBlockBytes = 34;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const std::byte* p = row.data + block * kBlockBytes;
    const f32x16 d = splat(load_half(p));
    sink(0, to_float(widen_i8(load_codes(p + 2))) * d);
    sink(1, to_float(widen_i8(load_codes(p + 18))) * d);
  }
};

struct Q2K {
  static constexpr int kBlock = 256;
  static constexpr int kBlockBytes = 84;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const std::byte* p = row.data + block * kBlockBytes;
    const i32x16 packed = widen_u8(load_codes(p));
    alignas(64) float scales[16], mins[16];
    store(scales, to_float(low_nibbles(packed)) * splat(load_half(p + 80)));
    store(mins, to_float(shift_right<4>(packed)) * splat(load_half(p + 82)));
    for (int half = 0; half < 2; ++half) {
      i32x16 a = widen_u8(load_codes(p + 16 + 32 * half));
      i32x16 b = widen_u8(load_codes(p + 32 + 32 * half));
      for (int i = 8 * half; i < 8 * half + 8; i += 2) {
        sink(i, to_float(a & splat_int(3)) * splat(scales[i]) - splat(mins[i]));
        sink(i + 1, to_float(b & splat_int(3)) * splat(scales[i + 1]) - splat(mins[i + 1]));
        a = shift_right<2>(a);
        b = shift_right<2>(b);
      }
    }
  }
};

struct Q3K {
  static constexpr int kBlock = 256;
  static constexpr int kBlockBytes = 110;

  /// Sixteen 6-bit scales: the low four bits in 8 bytes, the two high bits in 4 bytes.
  static i32x16 scale_codes(const std::byte* p) {
    const uint32_t a = load_as<uint32_t>(p), b = load_as<uint32_t>(p + 4);
    const uint32_t high = load_as<uint32_t>(p + 8);
    return widen_u8(bytes_of((a & 0x0f0f0f0f) | (high & 0x03030303) << 4,
                             (b & 0x0f0f0f0f) | (high >> 2 & 0x03030303) << 4,
                             (a >> 4 & 0x0f0f0f0f) | (high >> 4 & 0x03030303) << 4,
                             (b >> 4 & 0x0f0f0f0f) | (high >> 6 & 0x03030303) << 4));
  }

  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const std::byte* p = row.data + block * kBlockBytes;
    alignas(64) float scales[16];
    store(scales, to_float(scale_codes(p + 96) - splat_int(32)) * splat(load_half(p + 108)));
    // Bit 2 of the code; set means "do not subtract 4".
    i32x16 high_a = shift_left<2>(widen_u8(load_codes(p)));
    i32x16 high_b = shift_left<2>(widen_u8(load_codes(p + 16)));
    for (int half = 0; half < 2; ++half) {
      i32x16 a = widen_u8(load_codes(p + 32 + 32 * half));
      i32x16 b = widen_u8(load_codes(p + 48 + 32 * half));
      for (int i = 8 * half; i < 8 * half + 8; i += 2) {
        sink(i, to_float(join(a, high_a)) * splat(scales[i]));
        sink(i + 1, to_float(join(b, high_b)) * splat(scales[i + 1]));
        a = shift_right<2>(a);
        b = shift_right<2>(b);
        high_a = shift_right<1>(high_a);
        high_b = shift_right<1>(high_b);
      }
    }
  }

  static i32x16 join(i32x16 low, i32x16 high) {
    return ((low & splat_int(3)) | (high & splat_int(4))) - splat_int(4);
  }
};

/// The eight 6-bit scales and minima of q4_k and q5_k, times d and dmin.
struct KScales {
  alignas(64) float scale[16];  // [8] used
  alignas(64) float min[16];    // [8 + 8]: the second half is used
  explicit KScales(const std::byte* p) {
    const uint32_t a = load_as<uint32_t>(p + 4), b = load_as<uint32_t>(p + 8);
    const uint32_t c = load_as<uint32_t>(p + 12);
    const f32x16 codes =
        to_float(widen_u8(bytes_of(a & 0x3f3f3f3f, (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030),
                                   b & 0x3f3f3f3f, (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030))));
    store(scale, codes * splat(load_half(p)));
    store(min, codes * splat(load_half(p + 2)));
  }
  float minimum(int i) const { return min[8 + i]; }
};

struct Q4K {
  static constexpr int kBlock = 256;
  static constexpr int kBlockBytes = 144;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const std::byte* p = row.data + block * kBlockBytes;
    const KScales k(p);
    p += 16;
    for (int i = 0; i < 8; i += 2, p += 32) {
      const Linear16 even = make_linear16(k.scale[i], 0, -k.minimum(i));
      const Linear16 odd = make_linear16(k.scale[i + 1], 0, -k.minimum(i + 1));
      const i32x16 a = widen_u8(load_codes(p)), b = widen_u8(load_codes(p + 16));
      sink(2 * i, decode16(even, a));
      sink(2 * i + 1, decode16(even, b));
      sink(2 * i + 2, decode16(odd, shift_right<4>(a)));
      sink(2 * i + 3, decode16(odd, shift_right<4>(b)));
    }
  }
};

struct Q5K {
  static constexpr int kBlock = 256;
  static constexpr int kBlockBytes = 176;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const std::byte* p = row.data + block * kBlockBytes;
    const KScales k(p);
    i32x16 high_a = shift_left<4>(widen_u8(load_codes(p + 16)));
    i32x16 high_b = shift_left<4>(widen_u8(load_codes(p + 32)));
    p += 48;
    for (int i = 0; i < 8; i += 2, p += 32) {
      const i32x16 a = widen_u8(load_codes(p)), b = widen_u8(load_codes(p + 16));
      const Linear32 even = make_linear32(k.scale[i], 0, -k.minimum(i));
      sink(2 * i, decode32(even, join(a, high_a)));
      sink(2 * i + 1, decode32(even, join(b, high_b)));
      high_a = shift_right<1>(high_a);
      high_b = shift_right<1>(high_b);
      const Linear32 odd = make_linear32(k.scale[i + 1], 0, -k.minimum(i + 1));
      sink(2 * i + 2, decode32(odd, join(shift_right<4>(a), high_a)));
      sink(2 * i + 3, decode32(odd, join(shift_right<4>(b), high_b)));
      high_a = shift_right<1>(high_a);
      high_b = shift_right<1>(high_b);
    }
  }

  static i32x16 join(i32x16 low, i32x16 high) { return low_nibbles(low) | (high & splat_int(16)); }
};

struct Q6K {
  static constexpr int kBlock = 256;
  static constexpr int kBlockBytes = 210;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const std::byte* p = row.data + block * kBlockBytes;
    alignas(64) float scales[16];
    store(scales, to_float(widen_i8(load_codes(p + 192))) * splat(load_half(p + 208)));
    for (int half = 0; half < 2; ++half) {  // 128 columns: 64 bytes of low bits, 32 of high bits
      const std::byte *low = p + 64 * half, *high = p + 128 + 32 * half;
      const float* scale = scales + 8 * half;
      const i32x16 high_a = shift_left<4>(widen_u8(load_codes(high)));
      const i32x16 high_b = shift_left<4>(widen_u8(load_codes(high + 16)));
      const i32x16 a = widen_u8(load_codes(low)), b = widen_u8(load_codes(low + 16));
      const i32x16 c = widen_u8(load_codes(low + 32)), d = widen_u8(load_codes(low + 48));
      const int i = 8 * half;
      sink(i, weights(low_nibbles(a), high_a, scale[0]));
      sink(i + 1, weights(low_nibbles(b), high_b, scale[1]));
      sink(i + 2, weights(low_nibbles(c), shift_right<2>(high_a), scale[2]));
      sink(i + 3, weights(low_nibbles(d), shift_right<2>(high_b), scale[3]));
      sink(i + 4, weights(shift_right<4>(a), shift_right<4>(high_a), scale[4]));
      sink(i + 5, weights(shift_right<4>(b), shift_right<4>(high_b), scale[5]));
      sink(i + 6, weights(shift_right<4>(c), shift_right<6>(high_a), scale[6]));
      sink(i + 7, weights(shift_right<4>(d), shift_right<6>(high_b), scale[7]));
    }
  }

  static f32x16 weights(i32x16 low, i32x16 high, float scale) {
    return to_float((low | (high & splat_int(0x30))) - splat_int(32)) * splat(scale);
  }
};

/// The 16 levels of the non-linear 4-bit formats, and E2M1's values doubled.
constexpr u8x16 kIq4Levels = {static_cast<uint8_t>(-127),
                              static_cast<uint8_t>(-104),
                              static_cast<uint8_t>(-83),
                              static_cast<uint8_t>(-65),
                              static_cast<uint8_t>(-49),
                              static_cast<uint8_t>(-35),
                              static_cast<uint8_t>(-22),
                              static_cast<uint8_t>(-10),
                              1,
                              13,
                              25,
                              38,
                              53,
                              69,
                              89,
                              113};
constexpr u8x16 kE2m1Doubled = {0,
                                1,
                                2,
                                3,
                                4,
                                6,
                                8,
                                12,
                                0,
                                static_cast<uint8_t>(-1),
                                static_cast<uint8_t>(-2),
                                static_cast<uint8_t>(-3),
                                static_cast<uint8_t>(-4),
                                static_cast<uint8_t>(-6),
                                static_cast<uint8_t>(-8),
                                static_cast<uint8_t>(-12)};

/// 32 columns: the low nibbles of 16 bytes, then the high ones.
template <class Sink>
[[gnu::always_inline]] inline void decode_levels(u8x16 levels, const std::byte* p, float d,
                                                 int first, Sink&& sink) {
  const u8x16 q = load_codes(p);
  sink(first, to_float(widen_i8(lookup_bytes(levels, q & 15))) * splat(d));
  sink(first + 1, to_float(widen_i8(lookup_bytes(levels, q >> 4))) * splat(d));
}

struct Iq4Nl {
  static constexpr int kBlock = 32;
  static constexpr int kBlockBytes = 18;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const std::byte* p = row.data + block * kBlockBytes;
    decode_levels(kIq4Levels, p + 2, load_half(p), 0, sink);
  }
};

struct Iq4Xs {
  static constexpr int kBlock = 256;
  static constexpr int kBlockBytes = 136;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const std::byte* p = row.data + block * kBlockBytes;
    const float d = load_half(p);
    const uint32_t high = load_as<uint16_t>(p + 2), low = load_as<uint32_t>(p + 4);
    for (int i = 0; i < 8; ++i) {
      const uint32_t code = (low >> (4 * i) & 15) | (high >> (2 * i) & 3) << 4;
      const float scale = d * static_cast<float>(static_cast<int>(code) - 32);
      decode_levels(kIq4Levels, p + 8 + 16 * i, scale, 2 * i, sink);
    }
  }
};

/// The block's scale is halved, as the levels are doubled: 2^(e - 128), subnormal for e < 2.
struct GgufMxFp4 {
  static constexpr int kBlock = 32;
  static constexpr int kBlockBytes = 17;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const std::byte* p = row.data + block * kBlockBytes;
    const uint32_t e = load_as<uint8_t>(p);
    const float d = float_of(e < 2 ? 0x00200000U << e : (e - 1) << 23);
    decode_levels(kE2m1Doubled, p + 1, d, 0, sink);
  }
};

}  // namespace
}  // namespace sluice::kernels
