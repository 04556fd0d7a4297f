#pragma once

// Bytes and integer dot products in AVX-512 (VNNI, VBMI). The names are int8_generic.h's.

#include "sluice/kernels/int8/bytes_x86.h"
#include "sluice/kernels/simd/simd_avx512.h"

namespace sluice::kernels {
namespace {

struct u8x64 {
  __m512i v;
};

constexpr int kPanelVectors = 2;
constexpr int kPanelTokens = 4;
constexpr bool kPanelInRegisters = true;
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
inline i32x16 dot4_each(i32x16 sum, u8x64 w, int32_t x) {
  return {_mm512_dpbusd_epi32(sum.v, w.v, _mm512_set1_epi32(x))};
}
template <bool wide>
inline i32x16 dot8_each(i32x16 sum, u8x64 w, int32_t x, u8x64 v, int32_t y) {
  return dot4_each<wide>(dot4_each<wide>(sum, w, x), v, y);
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

// Pieces: what a register holds of 64 bytes.
constexpr int kPieces = 1;
constexpr int kPieceBytes = 64;
constexpr int kRowsAtOnce = 2;
using Bytes = u8x64;
using Ints = i32x16;
using Floats = f32x16;
template <int p, class Whole>
inline Whole piece_of(Whole a) {
  return a;
}
inline Ints ints_at(const void* p) { return {_mm512_loadu_si512(p)}; }
inline Floats floats_at(const void* p) { return load(p); }
inline void store_piece(float* p, Floats a) { store(p, a); }
inline Ints add_high(Ints low, Ints high) { return low + Ints{_mm512_slli_epi32(high.v, 7)}; }
/// A sum of products, lane by lane.
template <class F>
struct LaneSum {
  Ints sum;
  /// Adds w times x, the i-th of n that are added.
  template <int i, int n>
  [[gnu::always_inline]] void add(Bytes w, Bytes x) {
    sum.v = _mm512_dpbusd_epi32(sum.v, w.v, x.v);
  }
};
/// x, which several rows take from one register: compilers would load it for each of them.
inline Bytes load_shared(const void* p) {
  Bytes x = load_bytes64(p);
  asm("" : "+v"(x.v));
  return x;
}

/// Lane 4 q + v: the sum of quarter q of parts[v].
inline Ints fold_parts(const Ints (&parts)[4]) {
  const auto fold = [](__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  };
  const __m512i ab = fold(parts[0].v, parts[1].v), cd = fold(parts[2].v, parts[3].v);
  return {_mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))};
}
// Slots: lane 4 q + v of the joined vector is lane 4 q + v % width of rows[v / width], for width 1 or 2.
template <int width>
inline Floats join_slots(const Floats (&rows)[4 / width]) {
  const auto pairs = [](__m512 a, __m512 b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  };
  if constexpr (width == 2) {
    return {pairs(rows[0].v, rows[1].v)};
  } else {
    return {
        pairs(_mm512_unpacklo_ps(rows[0].v, rows[1].v), _mm512_unpacklo_ps(rows[2].v, rows[3].v))};
  }
}
template <int width>
inline void split_slots(Floats joined, Floats (&rows)[4 / width]) {
  if constexpr (width == 2) {
    rows[0].v = _mm512_mask_mov_ps(rows[0].v, 0x3333, joined.v);
    rows[1].v = _mm512_mask_permute_ps(rows[1].v, 0x3333, joined.v, 0x0e);
  } else {
    rows[0].v = _mm512_mask_mov_ps(rows[0].v, 0x1111, joined.v);
    rows[1].v = _mm512_mask_permute_ps(rows[1].v, 0x1111, joined.v, 0x01);
    rows[2].v = _mm512_mask_permute_ps(rows[2].v, 0x1111, joined.v, 0x02);
    rows[3].v = _mm512_mask_permute_ps(rows[3].v, 0x1111, joined.v, 0x03);
  }
}
/// out[i] = tree_sum(transpose_lanes(rows[i])).
inline void lane_sums(const f32x16 (&rows)[4], float* out) {
  const auto twos = [](f32x16 a, f32x16 b) {  // of each quarter: 0 + 2 and 1 + 3 of a, then of b
    return _mm512_add_ps(_mm512_shuffle_ps(a.v, b.v, 0x44), _mm512_shuffle_ps(a.v, b.v, 0xee));
  };
  const __m512 ab = twos(rows[0], rows[1]), cd = twos(rows[2], rows[3]);
  const __m512 quarters =
      _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x88), _mm512_shuffle_ps(ab, cd, 0xdd));
  const __m256 halves =
      _mm256_add_ps(_mm512_castps512_ps256(quarters), _mm512_extractf32x8_ps(quarters, 1));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1)));
}

/// Lane 4 q + v of the result's vector l is lane 4 q + l of vector v.
inline void transpose_quarters(u8x64 (&a)[4]) {
  const __m512i ab = _mm512_unpacklo_epi32(a[0].v, a[1].v),
                cd = _mm512_unpacklo_epi32(a[2].v, a[3].v);
  const __m512i ab_high = _mm512_unpackhi_epi32(a[0].v, a[1].v);
  const __m512i cd_high = _mm512_unpackhi_epi32(a[2].v, a[3].v);
  a[0].v = _mm512_unpacklo_epi64(ab, cd);
  a[1].v = _mm512_unpackhi_epi64(ab, cd);
  a[2].v = _mm512_unpacklo_epi64(ab_high, cd_high);
  a[3].v = _mm512_unpackhi_epi64(ab_high, cd_high);
}
/// Lane 4 q + v becomes lane 4 v + q.
inline f32x16 transpose_lanes(f32x16 a) {
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  return {_mm512_permutexvar_ps(order, a.v)};
}
constexpr bool kHasLanesOfEight = true;
/// Eight 16-bit floats, each for two groups, in the order of lanes: lane 4 q + v is number (4 v + q) / 2.
inline f32x16 lanes_of_eight(const void* p, bool is_bf16) {
  const __m128i eight = _mm_loadu_si128(static_cast<const __m128i*>(p));
  if (is_bf16) {
    const __m512i all = _mm512_broadcast_i32x4(eight);
    const __m512i order =
        _mm512_set_epi32(0x0f0e8080, 0x0b0a8080, 0x07068080, 0x03028080, 0x0f0e8080, 0x0b0a8080,
                         0x07068080, 0x03028080, 0x0d0c8080, 0x09088080, 0x05048080, 0x01008080,
                         0x0d0c8080, 0x09088080, 0x05048080, 0x01008080);
    return {_mm512_castsi512_ps(_mm512_shuffle_epi8(all, order))};
  }
  const __m256i order = _mm256_set_epi32(0x0f0e0b0a, 0x07060302, 0x0f0e0b0a, 0x07060302, 0x0d0c0908,
                                         0x05040100, 0x0d0c0908, 0x05040100);
  return {_mm512_cvtph_ps(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(eight), order))};
}
/// Of each two quarters of a and of b: the first ones (the second ones) side by side.
inline void join_quarters(u8x64 a, u8x64 b, u8x64& first, u8x64& second) {
  first.v = _mm512_mask_shuffle_i32x4(a.v, 0xf0f0, b.v, b.v, 0xa0);
  second.v = _mm512_mask_shuffle_i32x4(b.v, 0x0f0f, a.v, a.v, 0xf5);
}
/// Of each eight bytes the even ones, then the odd ones.
inline u8x64 evens_first(u8x64 a) {
  const __m512i order =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15));
  return {_mm512_shuffle_epi8(a.v, order)};
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
/// n <= 16 float16 values, `stride` bytes apart; after them the first one again, or zeros.
template <int stride>
[[gnu::always_inline]] inline f32x16 strided_f16(const void* first, int64_t n) {
  const uint8_t* p = static_cast<const uint8_t*>(first);
  if constexpr (stride > 16 &&
                stride <= 20) {  // a vector has four, and the last ends before the last block
    if (n == 16) {
      const __m128i lo = eight_strided<stride>(p);
      return f16_lanes(_mm256_set_m128i(eight_strided<stride>(p + 8 * stride), lo));
    }
  }
  return f16_lanes(strided_u16<stride>(p, n));
}

template <int stride>
[[gnu::always_inline]] inline f32x16 strided_lanes(const void* const (&part)[4]) {
  if (stride <= 20 && part[0] == part[3]) return transpose_lanes(strided_f16<stride>(part[0], 16));
  return f16_lanes(strided_lanes_u16<stride>(part));
}

inline void k_block_scales(const void* p, const void* q, f32x16& scale, f32x16& bias) {
  const KScalePair k = unpack_k_scales(p, q);
  scale = to_float(widen_u8((u8x16)k.codes)) * f16_lanes(k.unit);
  bias = to_float(widen_u8((u8x16)k.min_codes)) * f16_lanes(k.min_unit);
}
inline void k_lane_scales(const void* p, const void* q, f32x16& scale, f32x16& bias) {
  k_block_scales(p, q, scale, bias);
  scale = transpose_lanes(scale);
  bias = transpose_lanes(bias);
}

/// n <= 16 bytes, zeros after them.
inline u8x16 load_first_bytes(const void* p, int64_t n) {
  return (u8x16)_mm_maskz_loadu_epi8(static_cast<__mmask16>((1U << n) - 1), p);
}

}  // namespace
}  // namespace sluice::kernels
