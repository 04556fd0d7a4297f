#pragma once

// Bytes and integer dot products in AVX-512 (VNNI, VBMI). The names are int8_generic.h's.

#include "sluice/kernels/int8/bytes_x86.h"
#include "sluice/kernels/simd/simd_avx512.h"

namespace sluice::kernels {
namespace {

struct u8x64 {
  __m512i v;
};

constexpr int kFewInt8Tokens = 4;  // a panel for fewer costs more to unpack than to multiply
constexpr int kPanelVectors = 2;
constexpr int kPanelTokens = 4;
constexpr bool kPanelInRegisters = true;
constexpr bool kHasDot16 = false;
template <bool wide>
i32x16 dot16(i32x16 sum, u8x64 w,
             const void* x);  // declared for compilers that look it up all the same
template <bool wide>
void widen_row(const void* low, const void* high, int64_t n, void* out);
constexpr int kPanelSteps = 8;  // all: accumulators that a loop carries are copied in each step
constexpr bool kHasWordSums = false;
constexpr bool kSignedWide = false;
using WordSums = i32x16;  // a name for what has none here

inline u8x64 load_bytes64(const void* p) { return {_mm512_loadu_si512(p)}; }
inline void store_bytes(void* p, u8x64 a) { _mm512_storeu_si512(p, a.v); }
inline u8x64 join_bytes32(const void* p, const void* q) {
  const __m256i low = _mm256_loadu_si256(static_cast<const __m256i*>(p));
  return {_mm512_inserti64x4(_mm512_castsi256_si512(low),
                             _mm256_loadu_si256(static_cast<const __m256i*>(q)), 1)};
}
inline u8x64 operator|(u8x64 a, u8x64 b) { return {_mm512_or_si512(a.v, b.v)}; }
inline u8x64 and_byte(u8x64 a, uint8_t b) {
  return {_mm512_and_si512(a.v, _mm512_set1_epi8(static_cast<char>(b)))};
}
inline u8x64 xor_byte(u8x64 a, uint8_t b) {
  return {_mm512_xor_si512(a.v, _mm512_set1_epi8(static_cast<char>(b)))};
}
inline u8x64 select_bytes(uint64_t where, uint8_t value) {
  return {_mm512_maskz_set1_epi8(where, static_cast<char>(value))};
}
inline u8x64 lookup(u8x16 table, u8x64 index) {
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4((__m128i)table), index.v)};
}

/// For _mm512_permutexvar_epi8 and _mm512_multishift_epi64_epi8.
struct alignas(64) ByteTable {
  uint8_t byte[64];
};

/// 8-byte lane i gets the `bits` bytes that hold codes 8 i to 8 i + 7.
constexpr ByteTable lane_bytes(int bits) {
  ByteTable t = {};
  for (int i = 0; i < 64; ++i) t.byte[i] = static_cast<uint8_t>((i / 8 * bits + i % 8) % 64);
  return t;
}
constexpr ByteTable lane_shifts(int bits) {
  ByteTable t = {};
  for (int i = 0; i < 64; ++i) t.byte[i] = static_cast<uint8_t>(i % 8 * bits);
  return t;
}
inline __m512i load_table(const ByteTable& t) { return _mm512_load_si512(t.byte); }
template <int n>
inline __m512i load_first(const void* p) {
  return _mm512_maskz_loadu_epi8((uint64_t{1} << n) - 1, p);
}

template <int bits>
inline u8x64 unpack_lsb(const void* p) {
  static constexpr ByteTable bytes = lane_bytes(bits), shifts = lane_shifts(bits);
  const __m512i spread = _mm512_permutexvar_epi8(load_table(bytes), load_first<8 * bits>(p));
  return and_byte({_mm512_multishift_epi64_epi8(load_table(shifts), spread)}, (1 << bits) - 1);
}

constexpr ByteTable halves_bytes(int distance) {
  ByteTable t = {};
  for (int i = 0; i < 64; ++i) t.byte[i] = static_cast<uint8_t>(i / 32 * distance + i % 16);
  return t;
}
/// 16-byte lane i gets bytes from i * distance on; those beyond the first 64 come from a vector at `second`.
constexpr ByteTable lanes_bytes(int distance, int second) {
  ByteTable t = {};
  for (int i = 0; i < 64; ++i) {
    const int at = i / 16 * distance + i % 16;
    t.byte[i] = static_cast<uint8_t>(at < 64 ? at : 64 + at - second);
  }
  return t;
}
/// byte 8 lanes: which bit of its own 8-byte lane each result starts at.
constexpr ByteTable shift_table(int run, int first, int second) {
  ByteTable t = {};
  for (int i = 0; i < 64; ++i) {
    t.byte[i] = static_cast<uint8_t>((8 * (i % 8) + (i / run % 2 == 0 ? first : second)) & 63);
  }
  return t;
}
template <int distance>
inline u8x64 nibble_halves(const void* p) {
  static constexpr ByteTable bytes = halves_bytes(distance), shifts = shift_table(16, 0, 4);
  const __m512i spread = _mm512_permutexvar_epi8(load_table(bytes), load_first<distance + 16>(p));
  return and_byte({_mm512_multishift_epi64_epi8(load_table(shifts), spread)}, 15);
}
template <int distance>
inline u8x64 four_sixteens(const void* p) {
  constexpr int kSecond =
      3 * distance + 16 - 64;  // where a load that ends with the last byte begins
  static constexpr ByteTable bytes = lanes_bytes(distance, kSecond);
  return {_mm512_permutex2var_epi8(_mm512_loadu_si512(p), load_table(bytes),
                                   _mm512_loadu_si512(static_cast<const uint8_t*>(p) + kSecond))};
}
inline void split_nibbles(u8x64 a, u8x64& low, u8x64& high) {
  low = and_byte(a, 15);
  high = and_byte({_mm512_srli_epi16(a.v, 4)}, 15);
}
/// Of each 8 bytes two words of eight nibbles: where four of each begin.
constexpr ByteTable four_shifts(int first) {
  ByteTable t = {};
  for (int i = 0; i < 64; ++i) t.byte[i] = static_cast<uint8_t>(i % 8 / 4 * 32 + i % 4 * 4 + first);
  return t;
}
inline void split_fours(u8x64 a, u8x64& first, u8x64& last) {
  static constexpr ByteTable shifts = four_shifts(0), more = four_shifts(16);
  first = and_byte({_mm512_multishift_epi64_epi8(load_table(shifts), a.v)}, 15);
  last = and_byte({_mm512_multishift_epi64_epi8(load_table(more), a.v)}, 15);
}
constexpr ByteTable nibble_shifts() {
  ByteTable t = {};
  for (int i = 0; i < 64; ++i) t.byte[i] = static_cast<uint8_t>(i % 16 * 4);
  return t;
}
/// Two codes a byte, in order.
inline void nibble_pairs(const void* p, u8x64& first, u8x64& last) {
  static constexpr ByteTable shifts = nibble_shifts();
  const __m512i packed = _mm512_loadu_si512(p), table = load_table(shifts);
  first =
      and_byte({_mm512_multishift_epi64_epi8(table, _mm512_unpacklo_epi64(packed, packed))}, 15);
  last = and_byte({_mm512_multishift_epi64_epi8(table, _mm512_unpackhi_epi64(packed, packed))}, 15);
}
/// 64 codes in order, then 64 more.
inline void split_groups(u8x64 a, u8x64 b, u8x64& first, u8x64& last) {
  first = {_mm512_shuffle_i32x4(a.v, b.v, 0x88)};
  last = {_mm512_shuffle_i32x4(a.v, b.v, 0xdd)};
}
inline u8x64 nibbles_by_half(const void* p) {
  static constexpr ByteTable shifts = shift_table(32, 0, 4);
  const __m512i twice = _mm512_broadcast_i64x4(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  return and_byte({_mm512_multishift_epi64_epi8(load_table(shifts), twice)}, 15);
}
template <int first, int second, int to, int mask>
inline u8x64 move_bits(u8x64 a) {
  static constexpr ByteTable shifts = shift_table(32, first - to, second - to);
  return and_byte({_mm512_multishift_epi64_epi8(load_table(shifts), a.v)}, mask);
}

template <bool wide>
inline i32x16 dot4(i32x16 sum, u8x64 w, const void* x) {
  return {_mm512_dpbusd_epi32(sum.v, w.v, _mm512_loadu_si512(x))};
}
template <bool wide>
inline i32x16 dot4_each(i32x16 sum, u8x64 w, int32_t x) {
  return {_mm512_dpbusd_epi32(sum.v, w.v, _mm512_set1_epi32(x))};
}
template <bool wide>
inline i32x16 dot8(i32x16 sum, u8x64 w, const void* x, u8x64 v, const void* y) {
  return dot4<wide>(dot4<wide>(sum, w, x), v, y);
}
template <bool wide>
inline i32x16 dot8_each(i32x16 sum, u8x64 w, int32_t x, u8x64 v, int32_t y) {
  return dot4_each<wide>(dot4_each<wide>(sum, w, x), v, y);
}

inline __m512i even_pairs(__m512i a, __m512i b) {
  return _mm512_castps_si512(
      _mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), 0x88));
}
inline __m512i odd_pairs(__m512i a, __m512i b) {
  return _mm512_castps_si512(
      _mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), 0xdd));
}
/// In each 128-bit lane: a0+a1, a2+a3, b0+b1, b2+b3.
inline __m512i add_pairs(__m512i a, __m512i b) {
  return _mm512_add_epi32(even_pairs(a, b), odd_pairs(a, b));
}

inline i32x16 sums_of_4(const i32x16* v) {
  const __m512i sums = add_pairs(add_pairs(v[0].v, v[1].v), add_pairs(v[2].v, v[3].v));
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  return {_mm512_permutexvar_epi32(order, sums)};
}

/// v[i] lane j becomes v[j] lane i.
inline void transpose(i32x16* v) {
  __m512i a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32(v[i].v, v[i + 1].v);
    a[i + 1] = _mm512_unpackhi_epi32(v[i].v, v[i + 1].v);
  }
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    const __m512i even = _mm512_shuffle_i32x4(b[i], b[i + 4], 0x88);
    const __m512i odd = _mm512_shuffle_i32x4(b[i], b[i + 4], 0xdd);
    const __m512i even2 = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0x88);
    const __m512i odd2 = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0xdd);
    v[i].v = _mm512_shuffle_i32x4(even, even2, 0x88);
    v[i + 8].v = _mm512_shuffle_i32x4(even, even2, 0xdd);
    v[i + 4].v = _mm512_shuffle_i32x4(odd, odd2, 0x88);
    v[i + 12].v = _mm512_shuffle_i32x4(odd, odd2, 0xdd);
  }
}

inline void store_int8(void* p, i32x16 a) {
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}

/// The 16-bit elements i / repeat of p for i < n, zeros after them; n is a multiple of repeat or lies within the last.
template <int repeat>
inline __m256i repeat_u16(const void* p, int64_t n) {
  const auto count = static_cast<unsigned>((n + repeat - 1) / repeat);
  if constexpr (repeat == 1) {
    return _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1U << count) - 1), p);
  } else if constexpr (repeat == 2) {
    const __m128i some = _mm_maskz_loadu_epi16(static_cast<__mmask8>((1U << count) - 1), p);
    const __m256i wide = _mm256_cvtepu16_epi32(some);
    return _mm256_or_si256(wide, _mm256_slli_epi32(wide, 16));
  } else {
    const __m128i some = _mm_maskz_loadu_epi16(static_cast<__mmask8>((1U << count) - 1), p);
    const __m256i wide = _mm256_cvtepu16_epi64(some);
    const __m256i pairs = _mm256_or_si256(wide, _mm256_slli_epi64(wide, 16));
    return _mm256_or_si256(pairs, _mm256_slli_epi64(pairs, 32));
  }
}
template <int repeat>
inline f32x16 repeat_f16(const void* p, int64_t n) {
  return {_mm512_cvtph_ps(repeat_u16<repeat>(p, n))};
}
template <int repeat>
inline f32x16 repeat_bf16(const void* p, int64_t n) {
  return {
      _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(repeat_u16<repeat>(p, n)), 16))};
}
inline f32x16 f16_lanes(__m256i halves) { return {_mm512_cvtph_ps(halves)}; }

/// 16-bit lane i of four gets the one at byte i * stride, lanes 4 to 7 the same of a second vector.
constexpr ByteTable strided_words(int stride) {
  ByteTable t = {};
  for (int i = 0; i < 8; ++i) {
    t.byte[2 * i] = static_cast<uint8_t>(i / 4 * 32 + i % 4 * stride / 2);
  }
  return t;
}
template <int stride>
inline __m128i eight_strided(const uint8_t* p) {
  static constexpr ByteTable words = strided_words(stride);
  return _mm512_castsi512_si128(_mm512_permutex2var_epi16(_mm512_loadu_si512(p), load_table(words),
                                                          _mm512_loadu_si512(p + 4 * stride)));
}
/// n <= most float16 values, `stride` bytes apart; after them the first one again, or zeros.
template <int stride, int most>
[[gnu::always_inline]] inline f32x16 strided_f16(const void* first, int64_t n) {
  const uint8_t* p = static_cast<const uint8_t*>(first);
  if constexpr (stride > 16 &&
                stride <= 20) {  // a vector has four, and the last ends before the last block
    if (n == most) {
      const __m128i lo = eight_strided<stride>(p);
      if constexpr (most == 8) return f16_lanes(_mm256_zextsi128_si256(lo));
      return f16_lanes(_mm256_set_m128i(eight_strided<stride>(p + 8 * stride), lo));
    }
  }
  return f16_lanes(strided_u16<stride, most>(p, n));
}

inline void k_block_scales(const void* p, const void* q, f32x16& scale, f32x16& bias) {
  const KScalePair k = unpack_k_scales(p, q);
  scale = to_float(widen_u8((u8x16)k.codes)) * f16_lanes(k.unit);
  bias = to_float(widen_u8((u8x16)k.min_codes)) * f16_lanes(k.min_unit);
}

/// n <= 16 bytes, zeros after them.
inline u8x16 load_first_bytes(const void* p, int64_t n) {
  return (u8x16)_mm_maskz_loadu_epi8(static_cast<__mmask16>((1U << n) - 1), p);
}

/// The first eight lanes of a, then the first eight (the last eight) of b.
inline f32x16 join_first(f32x16 a, f32x16 b) { return {_mm512_shuffle_f32x4(a.v, b.v, 0x44)}; }
inline f32x16 join_first_last(f32x16 a, f32x16 b) { return {_mm512_shuffle_f32x4(a.v, b.v, 0xe4)}; }
/// The last eight lanes of both.
inline f32x16 join_last(f32x16 a, f32x16 b) { return {_mm512_shuffle_f32x4(a.v, b.v, 0xee)}; }

}  // namespace
}  // namespace sluice::kernels
