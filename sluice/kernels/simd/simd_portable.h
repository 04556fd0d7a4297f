#pragma once

// Sixteen float lanes without any instruction set: compiler vectors of four, which every target has.
// The four simd_*.h define the same names; the *_body.h files are written on them alone.
// All of it is anonymous: what one unit compiles must never be linked into another.

#include <cstdint>
#include <cstring>

namespace sluice::kernels {
namespace {

using u8x16 = uint8_t __attribute__((vector_size(16)));
using f32x4 = float __attribute__((vector_size(16)));
using i32x4 = int32_t __attribute__((vector_size(16)));
using u32x4 = uint32_t __attribute__((vector_size(16)));

struct f32x16 {
  f32x4 v[4];
};
struct i32x16 {
  i32x4 v[4];
};

// Tile of the many-token product: rows x tokens of accumulators that fit the registers.
constexpr int kTileRows = 1;
constexpr int kTileTokens = 3;

// Tile of attention: queries, and partial sums (queries x positions, queries x vectors of values).
constexpr int kAttendQueries = 2;
constexpr int kAttendSums = 2;
// With so many queries, keys and values are converted to float32 before their products, not in them.
constexpr int kAttendDecodeFrom = 3;

template <class To, class Each>
inline To each(Each f) {
  return {{f(0), f(1), f(2), f(3)}};
}

inline f32x16 splat(float a) {
  return each<f32x16>([=](int) { return f32x4{a, a, a, a}; });
}
/// From any address, aligned or not.
inline f32x16 load(const void* p) {
  f32x16 r;
  std::memcpy(&r, p, sizeof r);
  return r;
}
inline void store(float* p, f32x16 a) { std::memcpy(p, &a, sizeof a); }
inline f32x16 operator+(f32x16 a, f32x16 b) {
  return each<f32x16>([&](int i) { return a.v[i] + b.v[i]; });
}
inline f32x16 operator-(f32x16 a, f32x16 b) {
  return each<f32x16>([&](int i) { return a.v[i] - b.v[i]; });
}
inline f32x16 operator*(f32x16 a, f32x16 b) {
  return each<f32x16>([&](int i) { return a.v[i] * b.v[i]; });
}
inline f32x16 operator/(f32x16 a, f32x16 b) {
  return each<f32x16>([&](int i) { return a.v[i] / b.v[i]; });
}
/// a * b + c: fused where the set has it, here rounded twice.
inline f32x16 mul_add(f32x16 a, f32x16 b, f32x16 c) { return a * b + c; }

/// a < b ? x : y, false when either is NaN.
inline f32x16 if_less(f32x16 a, f32x16 b, f32x16 x, f32x16 y) {
  return each<f32x16>([&](int i) {
    const i32x4 mask = a.v[i] < b.v[i];
    return (f32x4)((mask & (i32x4)x.v[i]) | (~mask & (i32x4)y.v[i]));
  });
}
/// The second operand when either is NaN, as x86 has it.
inline f32x16 min(f32x16 a, f32x16 b) { return if_less(a, b, a, b); }
inline f32x16 max(f32x16 a, f32x16 b) { return if_less(b, a, a, b); }

/// The fixed tree of the canonical order: (i, i+8), (i, i+4), (i, i+2), (i, i+1).
inline float tree_sum(f32x16 a) {
  const f32x4 s = (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]);
  return (s[0] + s[2]) + (s[1] + s[3]);
}
/// out[i] = tree_sum(a[i]).
inline void tree_sums(const f32x16 (&a)[kAttendSums], float* out) {
  for (int i = 0; i < kAttendSums; ++i) out[i] = tree_sum(a[i]);
}
inline float tree_max(f32x16 a) {
  float m = a.v[0][0];
  for (int i = 0; i < 16; ++i) m = a.v[i / 4][i % 4] > m ? a.v[i / 4][i % 4] : m;
  return m;
}

inline i32x16 splat_int(int32_t a) {
  return each<i32x16>([=](int) { return i32x4{a, a, a, a}; });
}
inline i32x16 load_int(const int32_t* p) {
  i32x16 r;
  std::memcpy(&r, p, sizeof r);
  return r;
}
inline i32x16 bits(f32x16 a) {
  return each<i32x16>([&](int i) { return (i32x4)a.v[i]; });
}
inline f32x16 floats(i32x16 a) {
  return each<f32x16>([&](int i) { return (f32x4)a.v[i]; });
}
inline f32x16 to_float(i32x16 a) {
  return each<f32x16>([&](int i) { return __builtin_convertvector(a.v[i], f32x4); });
}
inline i32x16 operator+(i32x16 a, i32x16 b) {
  return each<i32x16>([&](int i) { return (i32x4)((u32x4)a.v[i] + (u32x4)b.v[i]); });
}
inline i32x16 operator-(i32x16 a, i32x16 b) {
  return each<i32x16>([&](int i) { return (i32x4)((u32x4)a.v[i] - (u32x4)b.v[i]); });
}
inline i32x16 operator&(i32x16 a, i32x16 b) {
  return each<i32x16>([&](int i) { return a.v[i] & b.v[i]; });
}
inline i32x16 operator|(i32x16 a, i32x16 b) {
  return each<i32x16>([&](int i) { return a.v[i] | b.v[i]; });
}
template <int n>
inline i32x16 shift_left(i32x16 a) {
  return each<i32x16>([&](int i) { return (i32x4)((u32x4)a.v[i] << n); });
}
template <int n>
inline i32x16 shift_right(i32x16 a) {  // zeros enter
  return each<i32x16>([&](int i) { return (i32x4)((u32x4)a.v[i] >> n); });
}
template <int n>
inline i32x16 shift_right_signed(i32x16 a) {
  return each<i32x16>([&](int i) { return a.v[i] >> n; });
}
inline i32x16 shift_right_each(i32x16 a, i32x16 n) {
  return each<i32x16>([&](int i) { return (i32x4)((u32x4)a.v[i] >> (u32x4)n.v[i]); });
}

template <class T>
inline i32x16 widen(const T* a) {
  return each<i32x16>([=](int i) {
    return i32x4{a[4 * i], a[4 * i + 1], a[4 * i + 2], a[4 * i + 3]};
  });
}
inline i32x16 widen_u8(u8x16 a) {
  uint8_t bytes[16];
  std::memcpy(bytes, &a, sizeof bytes);
  return widen(bytes);
}
inline i32x16 widen_i8(u8x16 a) {
  int8_t bytes[16];
  std::memcpy(bytes, &a, sizeof bytes);
  return widen(bytes);
}
/// Lane i is made of the bytes source[index[4 i .. 4 i + 3]], low first; an index >= 128 gives 0.
/// Only the two low bytes are ever used by the callers' tables.
inline i32x16 spread(u8x16 source, const uint8_t* index) {
  int32_t lanes[16];
  for (int i = 0; i < 16; ++i) {
    const uint8_t low = index[4 * i], high = index[4 * i + 1];
    lanes[i] = source[low & 15] | (high < 128 ? source[high & 15] << 8 : 0);
  }
  return load_int(lanes);
}
/// table[index[i]], indices below 16.
inline u8x16 lookup_bytes(u8x16 table, u8x16 index) {
  u8x16 r = {};
  for (int i = 0; i < 16; ++i) r[i] = table[index[i] & 15];
  return r;
}

/// table[index & 7].
inline f32x16 lookup8(const float* table, i32x16 index) {
  return each<f32x16>([&](int i) {
    const i32x4 at = index.v[i] & 7;
    return f32x4{table[at[0]], table[at[1]], table[at[2]], table[at[3]]};
  });
}

inline i32x16 load_u16(const void* p) {
  uint16_t half[16];
  std::memcpy(half, p, sizeof half);
  return widen(half);
}
inline void store_u16(void* p, i32x16 a) {  // the low 16 bits
  uint16_t half[16];
  for (int i = 0; i < 16; ++i) half[i] = static_cast<uint16_t>(a.v[i / 4][i % 4]);
  std::memcpy(p, half, sizeof half);
}

/// Moving the 15 low bits to a float's place makes the value 2^-112 times too small, subnormals
/// included; infinities and NaNs get their exponent back by hand.
inline f32x16 load_f16(const void* p) {
  const i32x16 h = load_u16(p);
  const i32x16 sign = shift_left<16>(h & splat_int(0x8000));
  const i32x16 magnitude = shift_left<13>(h & splat_int(0x7fff));
  const f32x16 finite = floats(magnitude) * splat(0x1p112F);
  const i32x16 special = shift_right_signed<31>(splat_int(0x0f7fffff) - magnitude);
  return floats(bits(finite) | (special & splat_int(0x7f800000)) | sign);
}
inline float half_to_float(uint16_t h) {
  uint16_t sixteen[16] = {h};
  return load_f16(sixteen).v[0][0];
}
/// Round to nearest even by adding a float whose unit in the last place is the half's.
inline uint16_t float_to_half(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  const uint32_t sign = (u >> 16) & 0x8000, magnitude = u & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | ((u >> 13) & 0x1ff));
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // 65520 and above
  if (magnitude < 0x38800000) {                                              // below 2^-14
    float m;
    std::memcpy(&m, &magnitude, 4);
    m += 0.5F;  // one unit of 0.5 is 2^-24, the half's smallest subnormal
    uint32_t r;
    std::memcpy(&r, &m, 4);
    return static_cast<uint16_t>(sign | (r - 0x3f000000));
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000) >> 13));
}
inline void store_f16(void* p, f32x16 a) {
  uint16_t half[16];
  for (int i = 0; i < 16; ++i) half[i] = float_to_half(a.v[i / 4][i % 4]);
  std::memcpy(p, half, sizeof half);
}

}  // namespace
}  // namespace sluice::kernels

#include "sluice/kernels/simd/linear_body.h"
