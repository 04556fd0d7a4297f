#pragma once

// 64 bytes as four compiler vectors, for the sets without wider ones; what these cannot say is in int8_portable.h
// and bytes_neon.h. Every integer here is exact, so all sets agree. Comes after one simd_*.h.

#include "sluice/kernels/int8/int8_k_scales.h"

namespace sluice::kernels {
namespace {

struct u8x64 {
  u8x16 v[4];
};

// Up to kFewInt8Tokens tokens have a loop each (in int8_portable.h and bytes_neon.h), more are multiplied with panels.
// A panel is 16 * kPanelVectors rows; kPanelTokens tokens are multiplied with it at a time, kPanelSteps times four
// columns without a branch. kPanelInRegisters: sixteen vectors and their transposition fit there.
constexpr int kPanelVectors = 1;
constexpr int kPanelTokens = 4;
constexpr bool kPanelInRegisters = false;
constexpr bool kHasDot16 = false;
template <bool wide>
i32x16 dot16(i32x16 sum, u8x64 w,
             const void* x);  // declared for compilers that look it up all the same
template <bool wide>
void widen_row(const void* low, const void* high, int64_t n, void* out);
constexpr int kPanelSteps = 4;
constexpr bool kHasWordSums = false;
constexpr bool kSignedWide = false;
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

/// dot4 of w and x, then of v and y; the set's header has dot4.
template <bool wide>
inline i32x16 dot8(i32x16 sum, u8x64 w, const void* x, u8x64 v, const void* y) {
  return dot4<wide>(dot4<wide>(sum, w, x), v, y);
}
template <bool wide>
inline i32x16 dot8_each(i32x16 sum, u8x64 w, int32_t x, u8x64 v, int32_t y) {
  return dot4_each<wide>(dot4_each<wide>(sum, w, x), v, y);
}

/// n <= 16 bytes, zeros after them.
inline u8x16 load_first_bytes(const void* p, int64_t n) {
  if (n == 16) return load_bytes16(p);
  uint8_t some[16] = {};
  std::memcpy(some, p, static_cast<size_t>(n));
  return load_bytes16(some);
}

/// The first eight lanes of a, then the first eight (the last eight) of b.
inline f32x16 join_first(f32x16 a, f32x16 b) { return {{a.v[0], a.v[1], b.v[0], b.v[1]}}; }
inline f32x16 join_first_last(f32x16 a, f32x16 b) { return {{a.v[0], a.v[1], b.v[2], b.v[3]}}; }
/// The last eight lanes of both.
inline f32x16 join_last(f32x16 a, f32x16 b) { return {{a.v[2], a.v[3], b.v[2], b.v[3]}}; }

}  // namespace
}  // namespace sluice::kernels
