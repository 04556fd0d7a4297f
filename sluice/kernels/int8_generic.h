#pragma once

// 64 bytes as four compiler vectors, for the sets without wider ones; what an instruction set does better is in
// its own int8_<isa>.h. Every integer here is exact, so all sets agree. Comes after one simd_*.h.

namespace sluice::kernels {
namespace {

struct u8x64 {
  u8x16 v[4];
};

// A panel is 16 * kPanelVectors rows; kPanelTokens tokens are multiplied with it at a time.
constexpr int kPanelVectors = 1;
constexpr int kPanelTokens = 4;

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
/// `value` where a bit of `where` is set, else 0.
inline u8x64 select_bytes(uint64_t where, uint8_t value) {
  return each_bytes([=](int i) {
    u8x16 r;
    for (int j = 0; j < 16; ++j) r[j] = (where >> (16 * i + j) & 1) != 0 ? value : uint8_t{0};
    return r;
  });
}
/// table[index], each index below 16.
inline u8x64 lookup(u8x16 table, u8x64 index) {
  return each_bytes([&](int i) { return lookup_bytes(table, index.v[i]); });
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
/// The low nibbles of 16 bytes, their high nibbles, the same `distance` bytes later.
template <int distance>
inline u8x64 nibble_halves(const void* p) {
  const u8x16 a = load_bytes16(p), b = load_bytes16(byte_at(p, distance));
  return {{a & 15, a >> 4, b & 15, b >> 4}};
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

/// Sixteen sums of eight neighbouring lanes: v[i] has two of them.
inline i32x16 sums_of_8(const i32x16* v) {
  int32_t in[8][16], out[16];
  std::memcpy(in, v, sizeof in);
  for (int i = 0; i < 16; ++i) {
    const int32_t* p = in[i / 2] + i % 2 * 8;
    out[i] = p[0] + p[1] + p[2] + p[3] + p[4] + p[5] + p[6] + p[7];
  }
  return load_int(out);
}
/// Sixteen sums of four neighbouring lanes: v[i] has four of them.
inline i32x16 sums_of_4(const i32x16* v) {
  int32_t in[4][16], out[16];
  std::memcpy(in, v, sizeof in);
  for (int i = 0; i < 16; ++i) {
    const int32_t* p = in[i / 4] + i % 4 * 4;
    out[i] = p[0] + p[1] + p[2] + p[3];
  }
  return load_int(out);
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
/// n <= most float16 values, `stride` bytes apart; after them the first one again.
template <int stride, int most>
inline f32x16 strided_f16(const void* p, int64_t n) {
  uint16_t all[16];
  for (int i = 0; i < 16; ++i) std::memcpy(all + i, byte_at(p, i < n ? i * stride : 0), 2);
  return load_f16(all);
}

/// n <= 16 bytes, zeros after them.
inline u8x16 load_first_bytes(const void* p, int64_t n) {
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
