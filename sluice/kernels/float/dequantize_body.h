#pragma once

// One struct per family of stored formats: decode(row, block, sink) calls sink(i, w) with the sixteen
// weights w at columns block * kBlock + 16 i, for i = 0, 1, ... in this order. A block has kBlockBytes in
// row.data. The callers store them
// or multiply them; a weight's value is the same in both, and the same in every instruction set:
// each product and sum is rounded on its own, never fused, as the references do.
// Comes after one simd_*.h.

#include "sluice/kernels/matrix.h"

namespace sluice::kernels {
namespace {

/// Where a row's parts begin.
struct Row {
  const std::byte* data;
  const std::byte* scales;
  const std::byte* biases;
  const Matrix* w;
};

inline Row row_of(const Matrix& w, int64_t r) {
  // A format without scales or biases has null there, to which nothing may be added.
  return {w.data + r * w.row_bytes, w.scales ? w.scales + r * w.scale_row_bytes : nullptr,
          w.biases ? w.biases + r * w.scale_row_bytes : nullptr, &w};
}

template <class T>
inline T load_as(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}
inline float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline float load_half(const std::byte* p) { return half_to_float(load_as<uint16_t>(p)); }

/// Element `index` of an array of `type`.
inline float load_element(const std::byte* p, int64_t index, Format type) {
  if (type == Format::f16) return load_half(p + 2 * index);
  if (type == Format::bf16) return float_of(uint32_t{load_as<uint16_t>(p + 2 * index)} << 16);
  return load_as<float>(p + 4 * index);
}

inline f32x16 load_bf16(const void* p) { return floats(shift_left<16>(load_u16(p))); }

constexpr float kNoBias =
    -0.0F;  // the number that changes nothing when added, not even a zero's sign

struct alignas(64) Lanes {
  int32_t lane[16];
};
constexpr Lanes kIota = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};

/// Four bits from each of 16 bytes.
inline i32x16 low_nibbles(i32x16 bytes) { return bytes & splat_int(15); }

// ---- plain

template <Format format>
struct Plain {
  static constexpr int kBlock = 16;
  static constexpr int kElement = format == Format::f32 ? 4 : 2;
  static constexpr int kBlockBytes = 16 * kElement;

  static f32x16 load_lanes(const std::byte* p) {
    if constexpr (format == Format::f32) {
      return load(p);
    } else if constexpr (format == Format::f16) {
      return load_f16(p);
    } else {
      return load_bf16(p);
    }
  }

  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    sink(0, load_lanes(row.data + block * 16 * kElement));
  }

  /// The last n < 16 columns, zeros after them.
  static f32x16 decode_tail(const Row& row, int64_t block, int64_t n) {
    std::byte padded[16 * kElement] = {};
    std::memcpy(padded, row.data + block * 16 * kElement, static_cast<size_t>(n) * kElement);
    return load_lanes(padded);
  }
};

// ---- MLX

/// Where 16 codes of `bits` bits lie, the first at bit 8 * first_byte: bytes for spread(), shifts.
struct CodePlaces {
  alignas(64) uint8_t bytes[64];
  Lanes shifts;
};
constexpr CodePlaces code_places(int code_bits, int first_byte) {
  CodePlaces places = {};
  for (int i = 0; i < 16; ++i) {
    const int byte = first_byte + i * code_bits / 8, shift = i * code_bits % 8;
    places.bytes[4 * i] = static_cast<uint8_t>(byte);
    places.bytes[4 * i + 1] = static_cast<uint8_t>(shift + code_bits > 8 ? byte + 1 : 128);
    places.bytes[4 * i + 2] = places.bytes[4 * i + 3] = 128;
    places.shifts.lane[i] = shift;
  }
  return places;
}

/// n bytes, zeros after them: assembled in registers, since a vector load cannot forward narrower stores.
template <int n>
inline u8x16 load_bytes(const std::byte* p) {
  using u64x2 = uint64_t __attribute__((vector_size(16)));
  if constexpr (n == 16) {
    return load_as<u8x16>(p);
  } else {
    static_assert(n == 8 || n == 12);
    const uint64_t high = n == 12 ? load_as<uint32_t>(p + 8) : 0;
    return (u8x16)(u64x2{load_as<uint64_t>(p), high});
  }
}

/// The 32 codes at p, of 2 to 6 bits each, LSB first, as two vectors; bits above a code are its neighbour's.
template <int code_bits>
inline void unpack_codes(const std::byte* p, i32x16 out[2]) {
  constexpr int n_bytes = 4 * code_bits;
  constexpr int second =
      n_bytes > 16 ? n_bytes - 16 : 0;  // start of the load that has the second half
  static constexpr CodePlaces lower = code_places(code_bits, 0);
  static constexpr CodePlaces upper = code_places(code_bits, 2 * code_bits - second);
  const u8x16 a = load_bytes < n_bytes >= 16 ? 16 : n_bytes > (p);
  const u8x16 b = second > 0 ? load_bytes<16>(p + second) : a;
  out[0] = shift_right_each(spread(a, lower.bytes), load_int(lower.shifts.lane));
  out[1] = shift_right_each(spread(b, upper.bytes), load_int(upper.shifts.lane));
}

/// w = q * scale + bias. columns: 64, or 32 where a group is that small.
template <int code_bits, int columns>
struct Affine {
  static constexpr int kBlock = columns;
  static constexpr int kBlockBytes = columns * code_bits / 8;

  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const int64_t group = row.w->group_size == 2 * columns ? block >> 1 : block;
    const float scale = load_element(row.scales, group, row.w->scale_type);
    const float bias = load_element(row.biases, group, row.w->scale_type);
    const std::byte* p = row.data + block * columns * code_bits / 8;
    if constexpr (code_bits == 8) {
      for (int i = 0; i < columns / 16; ++i) {
        const f32x16 q = to_float(widen_u8(load_as<u8x16>(p + 16 * i)));
        sink(i, q * splat(scale) + splat(bias));
      }
    } else if constexpr (code_bits == 6) {
      for (int i = 0; i < columns / 16; i += 2, p += 4 * code_bits) {
        i32x16 codes[2];
        unpack_codes<code_bits>(p, codes);
        for (int h = 0; h < 2; ++h) {
          sink(i + h, to_float(codes[h] & splat_int(63)) * splat(scale) + splat(bias));
        }
      }
    } else if constexpr (code_bits == 5) {
      const Linear32 linear = make_linear32(scale, 0, bias);
      for (int i = 0; i < columns / 16; i += 2, p += 4 * code_bits) {
        i32x16 codes[2];
        unpack_codes<code_bits>(p, codes);
        sink(i, decode32(linear, codes[0]));
        sink(i + 1, decode32(linear, codes[1]));
      }
    } else {
      const Linear16 linear = make_linear16(scale, 0, bias);
      const i32x16 mask = splat_int((1 << code_bits) - 1);
      for (int i = 0; i < columns / 16; i += 2, p += 4 * code_bits) {
        i32x16 codes[2];
        unpack_codes<code_bits>(p, codes);
        sink(i, decode16(linear, code_bits == 4 ? codes[0] : codes[0] & mask));
        sink(i + 1, decode16(linear, code_bits == 4 ? codes[1] : codes[1] & mask));
      }
    }
  }
};

/// 2^(e - 127): 2^-127 is subnormal, 255 gives infinity (MLX's reading).
inline float e8m0_to_float(uint8_t e) { return float_of(e == 0 ? 0x00400000U : uint32_t{e} << 23); }

/// E4M3 (no infinity, NaN where all seven low bits are set) in each lane's low byte. Subnormals
/// become integers times 2^-9, not float subnormals, which some processors multiply slowly.
inline f32x16 e4m3_to_float(i32x16 byte) {
  const i32x16 magnitude = byte & splat_int(0x7f);
  const f32x16 code = to_float(magnitude);
  const f32x16 normal = floats(shift_left<20>(magnitude) + splat_int(120 << 23));
  const f32x16 finite = if_less(code, splat(8.0F), code * splat(0x1p-9F), normal);
  const i32x16 nan = shift_right_signed<31>(splat_int(0x7e) - magnitude) & splat_int(0x7fc00000);
  return floats(bits(finite) | nan | shift_left<24>(byte & splat_int(0x80)));
}

struct E4m3Values {
  float value[256];
};
constexpr E4m3Values e4m3_values() {
  E4m3Values all = {};
  for (int code = 0; code < 128; ++code) {
    float v = static_cast<float>(code < 8 ? code : 8 + code % 8);
    for (int e = code < 8 ? 1 : code / 8; e < 10; ++e) v /= 2;  // exponent 10 has unit 1
    for (int e = 10; e < code / 8; ++e) v *= 2;
    all.value[code] = code == 127 ? __builtin_nanf("") : v;
    all.value[code + 128] = -all.value[code];
  }
  return all;
}
constexpr E4m3Values kE4m3 = e4m3_values();

/// E2M1 in each lane's low four bits.
inline f32x16 e2m1_to_float(i32x16 code) {
  static constexpr float magnitudes[8] = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  const f32x16 magnitude = lookup8(magnitudes, code);
  return floats(bits(magnitude) | shift_left<28>(code & splat_int(8)));
}

struct MxFp4 {
  static constexpr int kBlock = 32;
  static constexpr int kBlockBytes = 16;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const f32x16 scale = splat(e8m0_to_float(load_as<uint8_t>(row.scales + block)));
    i32x16 codes[2];
    unpack_codes<4>(row.data + block * 16, codes);
    sink(0, e2m1_to_float(codes[0]) * scale);
    sink(1, e2m1_to_float(codes[1]) * scale);
  }
};

struct NvFp4 {
  static constexpr int kBlock = 16;
  static constexpr int kBlockBytes = 8;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    static constexpr CodePlaces places = code_places(4, 0);
    const uint8_t code = load_as<uint8_t>(row.scales + block);
    const f32x16 scale = splat(kE4m3.value[code] * row.w->global_scale);
    const u8x16 packed = load_bytes<8>(row.data + block * 8);
    const i32x16 codes =
        shift_right_each(spread(packed, places.bytes), load_int(places.shifts.lane));
    sink(0, e2m1_to_float(codes) * scale);
  }
};

struct Fp8 {
  static constexpr int kBlock = 16;
  static constexpr int kBlockBytes = 16;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const int64_t group = block >> (__builtin_ctz(static_cast<unsigned>(row.w->group_size)) - 4);
    const f32x16 scale = splat(load_as<float>(row.scales + 4 * group));
    sink(0, e4m3_to_float(widen_u8(load_as<u8x16>(row.data + block * 16))) * scale);
  }
};

struct Codes8 {
  static constexpr int kBlock = 16;
  static constexpr int kBlockBytes = 16;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const int64_t group = row.w->group_size == 16 ? block : block >> 1;
    const i32x16 codes = widen_u8(load_as<u8x16>(row.data + block * 16));
    sink(0, to_float(codes - splat_int(64)) * splat(load_as<float>(row.scales + 4 * group)));
  }
};

struct MxFp8 {
  static constexpr int kBlock = 32;
  static constexpr int kBlockBytes = 32;
  template <class Sink>
  [[gnu::always_inline]] static void decode(const Row& row, int64_t block, Sink&& sink) {
    const f32x16 scale = splat(e8m0_to_float(load_as<uint8_t>(row.scales + block)));
    const std::byte* p = row.data + block * 32;
    sink(0, e4m3_to_float(widen_u8(load_as<u8x16>(p))) * scale);
    sink(1, e4m3_to_float(widen_u8(load_as<u8x16>(p + 16))) * scale);
  }
};

}  // namespace
}  // namespace sluice::kernels
