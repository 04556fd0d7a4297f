#pragma once

// Bytes and integer dot products in plain C++: the definition of what vectors do in the other sets.

#include "sluice/kernels/simd/simd_portable.h"
//
#include "sluice/kernels/int8/int8_generic.h"

namespace sluice::kernels {
namespace {

constexpr bool kSignedWide = false;

/// `value` where a bit of `where` is set, else 0.
inline u8x64 select_bytes(uint64_t where, uint8_t value) {
  return each_bytes([=](int i) {
    u8x16 r;
    for (int j = 0; j < 16; ++j) r[j] = (where >> (16 * i + j) & 1) != 0 ? value : uint8_t{0};
    return r;
  });
}
/// The 64 codes of `bits` bits each that follow one another from p's lowest bit (MLX).
template <int bits>
inline u8x64 unpack_lsb(const void* p) {
  uint8_t codes[64];
  for (int i = 0; i < 64; i += 8) {
    uint64_t eight = 0;
    std::memcpy(&eight, byte_at(p, i / 8 * bits), bits);
    for (int j = 0; j < 8; ++j, eight >>= bits) {
      codes[i + j] = static_cast<uint8_t>(eight & ((1 << bits) - 1));
    }
  }
  return load_bytes64(codes);
}
/// Each lane of a holds eight nibbles in order: the first four as bytes, and the last four.
inline void split_fours(u8x64 a, u8x64& first, u8x64& last) {
  uint8_t in[64], out[2][64];
  std::memcpy(in, &a, sizeof in);
  for (int i = 0; i < 64; i += 4) {
    for (int j = 0; j < 8; ++j) {
      out[j / 4][i + j % 4] = static_cast<uint8_t>(in[i + j / 2] >> (j % 2 * 4) & 15);
    }
  }
  first = load_bytes64(out[0]);
  last = load_bytes64(out[1]);
}
/// sum[i] += w[4 i] x[4 i] + ... + w[4 i + 3] x[4 i + 3]; w unsigned, x signed. Codes are below 128 unless `wide`.
template <bool wide>
inline i32x16 dot4(i32x16 sum, u8x64 w, const void* x) {
  uint8_t a[64];
  int8_t b[64];
  int32_t out[16];
  std::memcpy(a, &w, sizeof a);
  std::memcpy(b, x, sizeof b);
  std::memcpy(out, &sum, sizeof out);
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 4; ++j) out[i] += a[4 * i + j] * b[4 * i + j];
  }
  return load_int(out);
}
inline Floats to_float(Ints a) { return __builtin_convertvector(a, Floats); }
inline Floats mul_add(Floats a, Floats b, Floats c) { return a * b + c; }
inline Ints piece_dot4(Ints sum, Bytes w, Bytes x) {
  for (int i = 0; i < 16; ++i) sum[i / 4] += w[i] * static_cast<int8_t>(x[i]);
  return sum;
}
/// The same with the four bytes of x for every lane.
template <bool wide>
inline i32x16 dot4_each(i32x16 sum, u8x64 w, int32_t x) {
  int32_t all[16];
  for (int i = 0; i < 16; ++i) all[i] = x;
  return dot4<wide>(sum, w, all);
}

/// v[i] lane j becomes v[j] lane i.
inline void transpose(i32x16* v) {
  int32_t in[16][16], out[16][16];
  std::memcpy(in, v, sizeof in);
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) out[j][i] = in[i][j];
  }
  std::memcpy(v, out, sizeof out);
}
/// The lanes' low bytes.
inline void store_int8(void* p, i32x16 a) {
  int32_t lanes[16];
  int8_t bytes[16];
  std::memcpy(lanes, &a, sizeof lanes);
  for (int i = 0; i < 16; ++i) bytes[i] = static_cast<int8_t>(lanes[i]);
  std::memcpy(p, bytes, sizeof bytes);
}

/// The 16-bit elements i / repeat of p for i < n, zeros after them.
template <int repeat>
inline void repeat_u16(const void* p, int64_t n, uint16_t* out) {
  for (int i = 0; i < 16; ++i) {
    out[i] = 0;
    if (i < n) std::memcpy(out + i, byte_at(p, i / repeat * 2), 2);
  }
}
template <int repeat>
inline f32x16 repeat_f16(const void* p, int64_t n) {
  uint16_t all[16];
  repeat_u16<repeat>(p, n, all);
  return load_f16(all);
}
template <int repeat>
inline f32x16 repeat_bf16(const void* p, int64_t n) {
  uint16_t all[16];
  repeat_u16<repeat>(p, n, all);
  return floats(shift_left<16>(load_u16(all)));
}
/// n <= 16 float16 values, `stride` bytes apart; after them the first one again.
template <int stride>
inline f32x16 strided_f16(const void* p, int64_t n) {
  uint16_t all[16];
  for (int i = 0; i < 16; ++i) std::memcpy(all + i, byte_at(p, i < n ? i * stride : 0), 2);
  return load_f16(all);
}

}  // namespace
}  // namespace sluice::kernels
