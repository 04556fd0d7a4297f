#pragma once

// The stored formats as integers: one struct each. A weight is scale * (code - kZero) + bias, with one scale
// (and bias) per kGroup columns.
//   codes<v>(p)                 the 64 codes at columns 64 v of the block at p; a block has 64 * kVectors columns
//   nibbles(row, column)        where codes have 4 bits: the 64 bytes of the 128 from `column`, a multiple of 128. A word of four bytes
//                               holds four codes in a row and the four that are kApart columns later (kApart 4: eight in order)
//   code(nibbles)               where a nibble is not the code itself
//   groups_per_scale(w)         where scales and biases are rows of their own, 16-bit floats or float32
//   lane_scales(data, ...)      where they lie among the codes and it is faster: a batch's, in the order of lanes (lanes_body.h)
//   lane_scales(row, first, ...)  where they do not: the same from group `first` on; false: not for these
//   scales(row, first, n, ...)  scales (biases) of the n <= 16 groups from `first`
// Comes after one int8_*.h.

#include "sluice/kernels/float/dequantize_gguf_body.h"

namespace sluice::kernels {
namespace {

/// What most formats have: symmetric codes of less than 8 bits in groups of 32.
struct CodesBase {
  static constexpr int kGroup = 32;
  static constexpr int kVectors = 1;
  static constexpr int kZeroShift = 0;  // kZero is 1 << kZeroShift, or 0
  static constexpr bool kHasBias = false;
  static constexpr bool kWide = false;  // codes above 64: two pairs' products do not fit 16 bits
  static constexpr int kMost = 64;      // where it is not wide: no code is above
};
/// So many products of codes with 8-bit activations fit 16 bits; of wide ones none do for certain.
template <class F>
constexpr int kWordProducts = 256 / F::kMost;

/// Where a batch of sixteen groups is: groups 4 v to 4 v + 3 as those of the batch at part[v].
struct BatchData {
  const std::byte* part[4];

  static BatchData whole(const std::byte* p) { return {{p, p, p, p}}; }
  struct Places {
    const void* part[4];
  };
  Places all(int64_t ahead) const {
    return {{part[0] + ahead, part[1] + ahead, part[2] + ahead, part[3] + ahead}};
  }
};

/// Calls body(Index<0>{}), body(Index<1>{}), ... body(Index<n - 1>{}).
template <int i>
struct Index {
  // NOLINTNEXTLINE(google-explicit-constructor): it is the number
  constexpr operator int() const { return i; }
};
template <int n, int i = 0, class Body>
[[gnu::always_inline]] inline void unrolled(const Body& body) {
  if constexpr (i < n) {
    body(Index<i>{});
    unrolled<n, i + 1>(body);
  }
}

/// Sixteen integers from an address that is a multiple of 4.
inline i32x16 int_lanes(const std::byte* p) {
  return load_int(reinterpret_cast<const int32_t*>(p));
}

/// The same 64 bytes.
inline u8x64 bytes_of(i32x16 lanes) {
  u8x64 bytes;
  std::memcpy(&bytes, &lanes, sizeof bytes);
  return bytes;
}
inline i32x16 lanes_of(u8x64 bytes) {
  i32x16 lanes;
  std::memcpy(&lanes, &bytes, sizeof lanes);
  return lanes;
}

/// A byte for each of sixteen groups, in the order of lanes (lanes_body.h).
inline u8x16 in_lanes(u8x16 a) {
  return __builtin_shufflevector(a, a, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}

/// Codes as products take them: wide ones less 128 where the set wants them signed.
template <class F>
constexpr bool kSigned = F::kWide&& kSignedWide;
template <class F>
inline u8x64 as_multiplied(u8x64 codes) {
  if constexpr (kSigned<F>) return xor_byte(codes, 128);
  return codes;
}
/// Dot products less what the weights' zero adds to them. sums: of x.
template <class F>
inline i32x16 less_zero(i32x16 dots, i32x16 sums) {
  constexpr int zero = F::kZeroShift > 0 ? 1 << F::kZeroShift : 0;
  if constexpr (kSigned<F>) {
    constexpr int more = 128 - zero;
    static_assert(more == 0 || more == 64 || more == 128);
    if constexpr (more > 0) return dots + shift_left < more == 64 ? 6 : 7 > (sums);
  } else if constexpr (zero > 0) {
    return dots - shift_left<F::kZeroShift>(sums);
  }
  return dots;
}

/// Asks for the lines of `bytes` bytes, `ahead` bytes on from p; they may lie beyond what exists.
inline void prefetch(const std::byte* p, int64_t ahead, int64_t bytes) {
  const auto at = reinterpret_cast<uintptr_t>(p) + static_cast<uintptr_t>(ahead);
  for (int64_t line = 0; line < bytes; line += 64) {
    __builtin_prefetch(reinterpret_cast<const void*>(at + static_cast<uintptr_t>(line)));
  }
}

/// A row's last columns, fewer than 64, zeros after them.
template <class F>
inline u8x64 last_codes(const std::byte* p, int64_t n) {
  std::byte block[F::kBlockBytes] = {};
  std::memcpy(block, p, static_cast<size_t>(n * F::kBlockBytes / 64));
  return F::template codes<0>(block);
}

/// F::scales in code of its own: inlined, it is most of a function.
template <class F>
[[gnu::noinline]] void load_scales(const Row& row, int64_t first, int64_t n, f32x16& scale,
                                   f32x16& bias) {
  F::scales(row, first, n, scale, bias);
}

// ---- MLX

/// n scales, 16-bit floats, of which each serves `repeat` groups; zeros after them.
template <int repeat>
[[gnu::always_inline]] inline f32x16 load_repeated(const std::byte* p, int64_t n, Format type) {
  return type == Format::bf16 ? repeat_bf16<repeat>(p, n) : repeat_f16<repeat>(p, n);
}

template <int code_bits>
struct AffineCodes : CodesBase {
  static constexpr bool kHasBias = true;
  static constexpr bool kWide = code_bits == 8;
  static constexpr int kMost = code_bits <= 4 ? 16 : code_bits == 5 ? 32 : 64;
  static constexpr int kBlockBytes = 8 * code_bits;

  template <int v>
  [[gnu::always_inline]] static u8x64 codes(const std::byte* p) {
    if constexpr (code_bits == 8) {
      return load_bytes64(p);
    } else {
      return unpack_lsb<code_bits>(p);
    }
  }
  static constexpr int kApart = 4;
  static u8x64 nibbles(const std::byte* row, int64_t column) requires(code_bits == 4) {
    return load_bytes64(row + column / 2);
  }
  /// Groups from `first`, each scale serving 1 << shift of them; at a row's end n groups, then any numbers.
  [[gnu::always_inline]] static f32x16 sixteen(const std::byte* p, int64_t first, int64_t n,
                                               int shift, Format type) {
    if (type == Format::f32) {
      float lanes[16] = {};
      for (int64_t i = 0; i < n; ++i) lanes[i] = load_as<float>(p + ((first + i) >> shift) * 4);
      return load(lanes);
    }
    p += (first >> shift) * 2;
    if (shift == 1) return load_repeated<2>(p, n, type);
    return shift == 0 ? load_repeated<1>(p, n, type) : load_repeated<4>(p, n, type);
  }
  static int64_t groups_per_scale(const Matrix& w) { return w.group_size / kGroup; }
  static bool lane_scales(const Row& row, int64_t first, f32x16& scale,
                          f32x16& bias) requires kHasLanesOfEight {
    if (row.w->group_size != 64 || row.w->scale_type == Format::f32) return false;
    const bool is_bf16 = row.w->scale_type == Format::bf16;
    scale = lanes_of_eight(row.scales + first, is_bf16);
    bias = lanes_of_eight(row.biases + first, is_bf16);
    return true;
  }
  [[gnu::always_inline]] static void scales(const Row& row, int64_t first, int64_t n, f32x16& scale,
                                            f32x16& bias) {
    const int shift = row.w->group_size >> 6;  // of 32, 64 or 128 columns
    const Format type = row.w->scale_type;
    scale = sixteen(row.scales, first, n, shift, type);
    bias = sixteen(row.biases, first, n, shift, type);
  }
};

/// E2M1 doubled, plus 16.
constexpr u8x16 kE2m1Codes = {16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4};

/// 2^(e - 128), half of what an E8M0 scale means; below 2^-126 zero.
inline f32x16 half_e8m0(i32x16 e) {
  const f32x16 power = floats(shift_left<23>(e - splat_int(1)));
  return if_less(to_float(e), splat(2.0F), splat(0.0F), power);
}
struct MxFp4Codes : CodesBase {
  static constexpr int kZeroShift = 4;
  static constexpr int kMost = 32;
  static constexpr int kBlockBytes = 32;
  template <int v>
  [[gnu::always_inline]] static u8x64 codes(const std::byte* p) {
    return code(unpack_lsb<4>(p));
  }
  static constexpr int kApart = 4;
  static u8x64 nibbles(const std::byte* row, int64_t column) {
    return load_bytes64(row + column / 2);
  }
  static u8x64 code(u8x64 nibbles) { return lookup(kE2m1Codes, nibbles); }
  [[gnu::always_inline]] static void scales(const Row& row, int64_t first, int64_t n, f32x16& scale,
                                            f32x16&) {
    scale = half_e8m0(widen_u8(load_first_bytes(row.scales + first, n)));
  }
};

struct NvFp4Codes : MxFp4Codes {
  static constexpr int kGroup = 16;
  [[gnu::always_inline]] static void scales(const Row& row, int64_t first, int64_t n, f32x16& scale,
                                            f32x16&) {
    const f32x16 stored = e4m3_to_float(widen_u8(load_first_bytes(row.scales + first, n)));
    scale = stored * splat(0.5F * row.w->global_scale);
  }
};

template <int group>
struct PlainCodes : CodesBase {
  static constexpr int kGroup = group;
  static constexpr int kZeroShift = 6;
  static constexpr bool kWide = true;
  static constexpr int kBlockBytes = 64;
  template <int v>
  [[gnu::always_inline]] static u8x64 codes(const std::byte* p) {
    return load_bytes64(p);
  }
  [[gnu::always_inline]] static void scales(const Row& row, int64_t first, int64_t n, f32x16& scale,
                                            f32x16&) {
    const auto* at = reinterpret_cast<const float*>(row.scales) + first;
    scale = n == 16 ? load(at) : load_some(at, n);
  }
};

// ---- GGUF, blocks of 32 columns: two of them make 64

/// A block begins with its scale, and with `has_min` its offset, in float16.
template <int stride, bool has_min>
struct F16Blocks : CodesBase {
  static constexpr bool kHasBias = has_min;
  static constexpr int kStride = stride;
  static constexpr int kBlockBytes = 2 * stride;
  static constexpr int kHeader = has_min ? 4 : 2;
  [[gnu::always_inline]] static void scales(const Row& row, int64_t first, int64_t n, f32x16& scale,
                                            f32x16& bias) {
    scale = strided_f16<stride>(row.data + first * stride, n);
    if (has_min) bias = strided_f16<stride>(row.data + first * stride + 2, n);
  }
  static void lane_scales(const BatchData& data, f32x16& scale, f32x16& bias) {
    scale = strided_lanes<stride>(data.all(0).part);
    if (has_min) bias = strided_lanes<stride>(data.all(2).part);
  }
};

template <bool has_min>
struct Q4Codes : F16Blocks<has_min ? 20 : 18, has_min> {
  using Blocks = F16Blocks<has_min ? 20 : 18, has_min>;
  static constexpr int kZeroShift = has_min ? 0 : 3;
  static constexpr int kMost = 16;
  template <int v>
  [[gnu::always_inline]] static u8x64 codes(const std::byte* p) {
    return nibble_halves<Blocks::kStride>(p + Blocks::kHeader);
  }
  static constexpr int kApart = 16;
  static u8x64 nibbles(const std::byte* row, int64_t column) {
    return four_sixteens<Blocks::kStride>(row + column / 32 * Blocks::kStride + Blocks::kHeader);
  }
};

template <bool has_min>
struct Q5Codes : F16Blocks<has_min ? 24 : 22, has_min> {
  using Blocks = F16Blocks<has_min ? 24 : 22, has_min>;
  static constexpr int kZeroShift = has_min ? 0 : 4;
  static constexpr int kMost = 32;
  template <int v>
  [[gnu::always_inline]] static u8x64 codes(const std::byte* p) {
    p += Blocks::kHeader;
    const uint64_t fifth = load_as<uint32_t>(p) | uint64_t{load_as<uint32_t>(p + Blocks::kStride)}
                                                      << 32;
    return nibble_halves<Blocks::kStride>(p + 4) | select_bytes(fifth, 16);
  }
};

struct Q8Codes : F16Blocks<34, false> {
  static constexpr int kZeroShift = 7;
  static constexpr bool kWide = true;
  template <int v>
  [[gnu::always_inline]] static u8x64 codes(const std::byte* p) {
    return xor_byte(join_bytes32(p + kHeader, p + kStride + kHeader), 128);
  }
};

constexpr u8x16 kIq4Codes = kIq4Levels ^ 128;

struct Iq4NlCodes : F16Blocks<18, false> {
  static constexpr int kZeroShift = 7;
  static constexpr bool kWide = true;
  template <int v>
  [[gnu::always_inline]] static u8x64 codes(const std::byte* p) {
    return code(nibble_halves<kStride>(p + kHeader));
  }
  static constexpr int kApart = 16;
  static u8x64 nibbles(const std::byte* row, int64_t column) {
    return four_sixteens<kStride>(row + column / 32 * kStride + kHeader);
  }
  static u8x64 code(u8x64 nibbles) { return lookup(kIq4Codes, nibbles); }
};

struct GgufMxFp4Codes : CodesBase {
  static constexpr int kZeroShift = 4;
  static constexpr int kMost = 32;
  static constexpr int kStride = 17;
  static constexpr int kBlockBytes = 2 * kStride;
  template <int v>
  [[gnu::always_inline]] static u8x64 codes(const std::byte* p) {
    return code(nibble_halves<kStride>(p + 1));
  }
  static constexpr int kApart = 16;
  static u8x64 nibbles(const std::byte* row, int64_t column) {
    return four_sixteens<kStride>(row + column / 32 * kStride + 1);
  }
  static u8x64 code(u8x64 nibbles) { return lookup(kE2m1Codes, nibbles); }
  [[gnu::always_inline]] static void scales(const Row& row, int64_t first, int64_t n, f32x16& scale,
                                            f32x16&) {
    std::byte some[16] = {};
    for (int64_t i = 0; i < n; ++i) some[i] = row.data[(first + i) * kStride];
    scale = half_e8m0(widen_u8(load_as<u8x16>(some)));
  }
};

// ---- GGUF, K-quants: 256 columns a block

struct KBase : CodesBase {
  static constexpr int kVectors = 4;
};

/// Sixteen groups are two blocks of q4_k or q5_k, the second of which may be missing.
template <int block_bytes>
[[gnu::always_inline]] inline void k_scales(const std::byte* p, int64_t n, f32x16& scale,
                                            f32x16& bias) {
  static constexpr std::byte kNone[16] = {};
  k_block_scales(p, n > 8 ? p + block_bytes : kNone, scale, bias);
}
template <int block_bytes>
struct KLaneScales : KBase {
  static void lane_scales(const BatchData& data, f32x16& scale, f32x16& bias) {
    k_lane_scales(data.part[0], data.part[2] + block_bytes, scale, bias);
  }
};

struct Q4KCodes : KLaneScales<144> {
  static constexpr bool kHasBias = true;
  static constexpr int kMost = 16;
  static constexpr int kBlockBytes = 144;
  template <int v>
  [[gnu::always_inline]] static u8x64 codes(const std::byte* p) {
    return nibbles_by_half(p + 16 + 32 * v);
  }
  static constexpr int kApart = 32;
  static u8x64 nibbles(const std::byte* row, int64_t column) {
    return load_bytes64(row + column / 256 * kBlockBytes + 16 + column % 256 / 2);
  }
  [[gnu::always_inline]] static void scales(const Row& row, int64_t first, int64_t n, f32x16& scale,
                                            f32x16& bias) {
    k_scales<kBlockBytes>(row.data + first / 8 * kBlockBytes, n, scale, bias);
  }
};

struct Q5KCodes : KLaneScales<176> {
  static constexpr bool kHasBias = true;
  static constexpr int kMost = 32;
  static constexpr int kBlockBytes = 176;
  template <int v>
  [[gnu::always_inline]] static u8x64 codes(const std::byte* p) {
    return nibbles_by_half(p + 48 + 32 * v) |
           move_bits<2 * v, 2 * v + 1, 4, 0x10>(join_bytes32(p + 16, p + 16));
  }
  [[gnu::always_inline]] static void scales(const Row& row, int64_t first, int64_t n, f32x16& scale,
                                            f32x16& bias) {
    k_scales<kBlockBytes>(row.data + first / 8 * kBlockBytes, n, scale, bias);
  }
};

struct K16Base : KBase {
  static constexpr int kGroup = 16;
};

struct Q2KCodes : K16Base {
  static constexpr bool kHasBias = true;
  static constexpr int kMost = 16;
  static constexpr int kBlockBytes = 84;
  template <int v>
  [[gnu::always_inline]] static u8x64 codes(const std::byte* p) {
    constexpr int bit = v % 2 * 4;
    const std::byte* half = p + 16 + v / 2 * 32;
    return move_bits<bit, bit + 2, 0, 3>(join_bytes32(half, half));
  }
  [[gnu::always_inline]] static void scales(const Row& row, int64_t first, int64_t, f32x16& scale,
                                            f32x16& bias) {
    const std::byte* p = row.data + first / 16 * kBlockBytes;
    const i32x16 packed = widen_u8(load_codes(p));
    scale = to_float(low_nibbles(packed)) * splat(load_half(p + 80));
    bias = to_float(shift_right<4>(packed)) * splat(-load_half(p + 82));
  }
  static void lane_scales(const BatchData& data, f32x16& scale, f32x16& bias) {
    const std::byte* p = data.part[0];
    const i32x16 packed = widen_u8(in_lanes(load_codes(p)));
    scale = to_float(low_nibbles(packed)) * splat(load_half(p + 80));
    bias = to_float(shift_right<4>(packed)) * splat(-load_half(p + 82));
  }
};

struct Q3KCodes : K16Base {
  static constexpr int kZeroShift = 2;
  static constexpr int kMost = 16;
  static constexpr int kBlockBytes = 110;
  template <int v>
  [[gnu::always_inline]] static u8x64 codes(const std::byte* p) {
    constexpr int bit = v % 2 * 4;
    const std::byte* half = p + 32 + v / 2 * 32;
    return move_bits<bit, bit + 2, 0, 3>(join_bytes32(half, half)) |
           move_bits<2 * v, 2 * v + 1, 2, 4>(join_bytes32(p, p));
  }
  [[gnu::always_inline]] static void scales(const Row& row, int64_t first, int64_t, f32x16& scale,
                                            f32x16&) {
    const std::byte* p = row.data + first / 16 * kBlockBytes;
    scale = to_float(Q3K::scale_codes(p + 96) - splat_int(32)) * splat(load_half(p + 108));
  }
};

struct Q6KCodes : K16Base {
  static constexpr int kZeroShift = 5;
  static constexpr int kBlockBytes = 210;
  template <int v>
  [[gnu::always_inline]] static u8x64 codes(const std::byte* p) {
    constexpr int bit = v % 2 * 4;
    const std::byte *low = p + v / 2 * 64, *high = p + 128 + v / 2 * 32;
    return move_bits<bit, bit, 0, 15>(load_bytes64(low)) |
           move_bits<bit, bit + 2, 4, 0x30>(join_bytes32(high, high));
  }
  [[gnu::always_inline]] static void scales(const Row& row, int64_t first, int64_t, f32x16& scale,
                                            f32x16&) {
    const std::byte* p = row.data + first / 16 * kBlockBytes;
    scale = to_float(widen_i8(load_codes(p + 192))) * splat(load_half(p + 208));
  }
  static void lane_scales(const BatchData& data, f32x16& scale, f32x16&) {
    const std::byte* p = data.part[0];
    scale = to_float(widen_i8(in_lanes(load_codes(p + 192)))) * splat(load_half(p + 208));
  }
};

struct Iq4XsCodes : KBase {
  static constexpr int kZeroShift = 7;
  static constexpr bool kWide = true;
  static constexpr int kBlockBytes = 136;
  template <int v>
  [[gnu::always_inline]] static u8x64 codes(const std::byte* p) {
    return Iq4NlCodes::code(nibble_halves<16>(p + 8 + 32 * v));
  }
  static constexpr int kApart = 16;
  static u8x64 nibbles(const std::byte* row, int64_t column) {
    return load_bytes64(row + column / 256 * kBlockBytes + 8 + column % 256 / 2);
  }
  static u8x64 code(u8x64 nibbles) { return Iq4NlCodes::code(nibbles); }
  [[gnu::always_inline]] static void scales(const Row& row, int64_t first, int64_t n, f32x16& scale,
                                            f32x16&) {
    float lanes[16] = {};
    const std::byte* p = row.data + first / 8 * kBlockBytes;
    for (int64_t i = 0; i < n; ++i) {
      if (i == 8) p += kBlockBytes;
      const uint32_t high = load_as<uint16_t>(p + 2), low = load_as<uint32_t>(p + 4);
      const uint32_t code = (low >> (4 * (i % 8)) & 15) | (high >> (2 * (i % 8)) & 3) << 4;
      lanes[i] = load_half(p) * static_cast<float>(static_cast<int>(code) - 32);
    }
    scale = load(lanes);
  }
};

}  // namespace
}  // namespace sluice::kernels
