#pragma once

// 64 bytes as four compiler vectors, for the sets without wider ones; what these cannot say is in int8_portable.h
// and bytes_neon.h. Every integer here is exact, so all sets agree. Comes after one simd_*.h.

#include <type_traits>

#include "sluice/kernels/int8/int8_k_scales.h"

namespace sluice::kernels {
namespace {

struct u8x64 {
  u8x16 v[4];
};

// A panel is 16 * kPanelVectors rows; kPanelTokens tokens are multiplied with it at a time, kPanelSteps times four
// columns without a branch. kPanelInRegisters: sixteen vectors and their transposition fit there.
constexpr int kPanelVectors = 1;
constexpr int kPanelTokens = 4;
constexpr bool kPanelInRegisters = false;
constexpr int kPanelSteps = 4;
constexpr bool kHasWordSums = false;
using WordSums = i32x16;  // a name for what has none here

template <class Each>
inline u8x64 each_bytes(Each f) {
  return {{f(0), f(1), f(2), f(3)}};
}
inline u8x16 load_bytes16(const void* p) {
  u8x16 a;
  std::memcpy(&a, p, sizeof a);
  return a;
}
inline u8x16 splat_byte(uint8_t b) { return u8x16{} + b; }
inline const uint8_t* byte_at(const void* p, int64_t i) {
  return static_cast<const uint8_t*>(p) + i;
}

inline u8x64 load_bytes64(const void* p) {
  return each_bytes([=](int i) { return load_bytes16(byte_at(p, 16 * i)); });
}
inline void store_bytes(void* p, u8x64 a) { std::memcpy(p, &a, sizeof a); }
/// 32 bytes from p, then 32 from q.
inline u8x64 join_bytes32(const void* p, const void* q) {
  return {{load_bytes16(p), load_bytes16(byte_at(p, 16)), load_bytes16(q),
           load_bytes16(byte_at(q, 16))}};
}
inline u8x64 operator|(u8x64 a, u8x64 b) {
  return each_bytes([&](int i) { return a.v[i] | b.v[i]; });
}
inline u8x64 and_byte(u8x64 a, uint8_t b) {
  return each_bytes([&](int i) { return a.v[i] & splat_byte(b); });
}
inline u8x64 xor_byte(u8x64 a, uint8_t b) {
  return each_bytes([&](int i) { return a.v[i] ^ splat_byte(b); });
}
/// table[index], each index below 16.
inline u8x64 lookup(u8x16 table, u8x64 index) {
  return each_bytes([&](int i) { return lookup_bytes(table, index.v[i]); });
}

/// The low nibbles of 16 bytes, their high nibbles, the same `distance` bytes later.
template <int distance>
inline u8x64 nibble_halves(const void* p) {
  const u8x16 a = load_bytes16(p), b = load_bytes16(byte_at(p, distance));
  return {{a & 15, a >> 4, b & 15, b >> 4}};
}
/// Sixteen bytes from each of four places, `distance` apart.
template <int distance>
inline u8x64 four_sixteens(const void* p) {
  return each_bytes([=](int i) { return load_bytes16(byte_at(p, i * distance)); });
}
inline void split_nibbles(u8x64 a, u8x64& low, u8x64& high) {
  low = and_byte(a, 15);
  high = each_bytes([&](int i) { return a.v[i] >> 4; });
}
/// 64 codes in order, then 64 more.
inline void split_groups(u8x64 a, u8x64 b, u8x64& first, u8x64& last) {
  first = {{a.v[0], a.v[2], b.v[0], b.v[2]}};
  last = {{a.v[1], a.v[3], b.v[1], b.v[3]}};
}
/// The low nibbles of 32 bytes, then their high nibbles.
inline u8x64 nibbles_by_half(const void* p) {
  const u8x16 a = load_bytes16(p), b = load_bytes16(byte_at(p, 16));
  return {{a & 15, b & 15, a >> 4, b >> 4}};
}
/// The bits of each byte that start at `first` (in the upper 32 bytes: `second`), moved to start at `to`, under `mask`.
template <int first, int second, int to, int mask>
inline u8x64 move_bits(u8x64 a) {
  return each_bytes([&](int i) {
    const int from = i < 2 ? first : second;
    return (from >= to ? a.v[i] >> (from >= to ? from - to : 0)
                       : a.v[i] << (from >= to ? 0 : to - from)) &
           splat_byte(mask);
  });
}

template <bool wide>
inline i32x16 dot8_each(i32x16 sum, u8x64 w, int32_t x, u8x64 v, int32_t y) {
  return dot4_each<wide>(dot4_each<wide>(sum, w, x), v, y);
}

// Pieces: what a register holds of 64 bytes. The set's header has piece_dot4().
constexpr int kPieces = 4;
constexpr int kPieceBytes = 16;
constexpr int kRowsAtOnce = 1;
using Bytes = u8x16;
using Ints = std::remove_extent_t<decltype(i32x16::v)>;
using Floats = std::remove_extent_t<decltype(f32x16::v)>;
template <int p>
inline Bytes piece_of(u8x64 a) {
  return a.v[p];
}
template <int p>
inline Floats piece_of(f32x16 a) {
  return a.v[p];
}
inline Ints ints_at(const void* p) {
  Ints a;
  std::memcpy(&a, p, sizeof a);
  return a;
}
inline Floats floats_at(const void* p) {
  Floats a;
  std::memcpy(&a, p, sizeof a);
  return a;
}
inline void store_piece(float* p, Floats a) { std::memcpy(p, &a, sizeof a); }
inline Ints add_high(Ints low, Ints high) { return low + high * 128; }
inline Ints piece_dot4(Ints sum, Bytes w, Bytes x);
/// A sum of products, lane by lane.
template <class F>
struct LaneSum {
  Ints sum;
  /// Adds w times x, the i-th of n that are added.
  template <int i, int n>
  [[gnu::always_inline]] void add(Bytes w, Bytes x) {
    sum = piece_dot4(sum, w, x);
  }
};
inline Bytes load_shared(const void* p) { return load_bytes16(p); }

/// Lane 4 q + v becomes lane 4 v + q.
inline f32x16 transpose_lanes(f32x16 a) {
  return each<f32x16>([&](int i) { return Floats{a.v[0][i], a.v[1][i], a.v[2][i], a.v[3][i]}; });
}

/// Lane 4 q + v: the sum of quarter q of parts[v].
inline Ints fold_parts(const Ints (&parts)[4]) {
  Ints sums;
  for (int v = 0; v < 4; ++v) sums[v] = parts[v][0] + parts[v][1] + parts[v][2] + parts[v][3];
  return sums;
}
// Slots: lane 4 q + v of the joined vector is lane 4 q + v % width of rows[v / width], for width 1 or 2.
template <int width>
inline Floats join_slots(const Floats (&rows)[4 / width]) {
  Floats joined = {};
  for (int v = 0; v < 4; ++v) joined[v] = rows[v / width][v % width];
  return joined;
}
template <int width>
inline void split_slots(Floats joined, Floats (&rows)[4 / width]) {
  for (int v = 0; v < 4; ++v) rows[v / width][v % width] = joined[v];
}
/// out[i] = tree_sum(transpose_lanes(rows[i])).
inline void lane_sums(const f32x16 (&rows)[4], float* out) {
  for (int i = 0; i < 4; ++i) out[i] = tree_sum(transpose_lanes(rows[i]));
}

/// Lane 4 q + v of the result's vector l is lane 4 q + l of vector v.
inline void transpose_quarters(u8x64 (&a)[4]) {
  using Words = uint32_t __attribute__((vector_size(16)));
  for (int q = 0; q < 4; ++q) {
    Words in[4];
    for (int v = 0; v < 4; ++v) in[v] = (Words)a[v].v[q];
    for (int l = 0; l < 4; ++l) a[l].v[q] = (u8x16)Words{in[0][l], in[1][l], in[2][l], in[3][l]};
  }
}
constexpr bool kHasLanesOfEight = false;
// Declared for compilers that look it up all the same.
template <class = void>
f32x16 lanes_of_eight(const void* p, bool is_bf16);
/// Sixteen float16 values in the order of lanes: lane 4 q + v is the one at part[v] + (4 v + q) * stride.
template <int stride>
inline f32x16 strided_lanes(const void* const (&part)[4]) {
  uint16_t all[16];
  for (int i = 0; i < 16; ++i) {
    std::memcpy(all + i, byte_at(part[i % 4], (4 * (i % 4) + i / 4) * stride), 2);
  }
  return load_f16(all);
}
/// k_block_scales() in the order of lanes.
inline void k_lane_scales(const std::byte* p, const std::byte* q, f32x16& scale, f32x16& bias) {
  k_block_scales(p, q, scale, bias);
  scale = transpose_lanes(scale);
  bias = transpose_lanes(bias);
}
/// Of each two quarters of a and of b: the first ones (the second ones) side by side.
inline void join_quarters(u8x64 a, u8x64 b, u8x64& first, u8x64& second) {
  first = {{a.v[0], b.v[0], a.v[2], b.v[2]}};
  second = {{a.v[1], b.v[1], a.v[3], b.v[3]}};
}
/// Of each eight bytes the even ones, then the odd ones.
inline u8x64 evens_first(u8x64 a) {
  return each_bytes([&](int i) {
    u8x16 r;
    for (int j = 0; j < 16; ++j) r[j] = a.v[i][j / 8 * 8 + j % 4 * 2 + j / 4 % 2];
    return r;
  });
}

/// n <= 16 bytes, zeros after them.
inline u8x16 load_first_bytes(const void* p, int64_t n) {
  if (n == 16) return load_bytes16(p);
  uint8_t some[16] = {};
  std::memcpy(some, p, static_cast<size_t>(n));
  return load_bytes16(some);
}

}  // namespace
}  // namespace sluice::kernels
