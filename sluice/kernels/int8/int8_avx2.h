#pragma once

// Bytes and integer dot products in AVX2. The names are int8_generic.h's.

#include "sluice/kernels/int8/bytes_x86.h"
#include "sluice/kernels/simd/simd_avx2.h"

namespace sluice::kernels {
namespace {

struct u8x64 {
  __m256i lo, hi;
};

constexpr int kFewInt8Tokens = 4;  // a panel for fewer costs more to unpack than to multiply
constexpr int kPanelVectors = 1;
constexpr int kPanelTokens = 4;
constexpr bool kPanelInRegisters = false;
constexpr bool kHasDot16 = true;  // one product of 16 bits is faster than two of 8
constexpr int kPanelSteps = 4;
constexpr bool kSignedWide = true;  // wide codes come to products less 128, but to dot16's

inline const uint8_t* byte_at(const void* p, int64_t i) {
  return static_cast<const uint8_t*>(p) + i;
}
inline __m256i load32(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m128i load16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline __m256i splat_byte(int b) { return _mm256_set1_epi8(static_cast<char>(b)); }

inline u8x64 load_bytes64(const void* p) { return {load32(p), load32(byte_at(p, 32))}; }
inline void store_bytes(void* p, u8x64 a) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), a.lo);
  _mm256_storeu_si256(static_cast<__m256i*>(p) + 1, a.hi);
}
inline u8x64 join_bytes32(const void* p, const void* q) { return {load32(p), load32(q)}; }
inline u8x64 operator|(u8x64 a, u8x64 b) {
  return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
inline u8x64 and_byte(u8x64 a, uint8_t b) {
  return {_mm256_and_si256(a.lo, splat_byte(b)), _mm256_and_si256(a.hi, splat_byte(b))};
}
inline u8x64 xor_byte(u8x64 a, uint8_t b) {
  return {_mm256_xor_si256(a.lo, splat_byte(b)), _mm256_xor_si256(a.hi, splat_byte(b))};
}
inline __m256i select_bytes32(uint32_t where, uint8_t value) {
  const __m256i spread =
      _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int32_t>(where)),
                          _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                           2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3));
  const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
  return _mm256_and_si256(set, splat_byte(value));
}
inline u8x64 select_bytes(uint64_t where, uint8_t value) {
  return {select_bytes32(static_cast<uint32_t>(where), value),
          select_bytes32(static_cast<uint32_t>(where >> 32), value)};
}
inline u8x64 lookup(u8x16 table, u8x64 index) {
  const __m256i t = _mm256_broadcastsi128_si256((__m128i)table);
  return {_mm256_shuffle_epi8(t, index.lo), _mm256_shuffle_epi8(t, index.hi)};
}

inline __m256i low_nibbles32(__m256i a) { return _mm256_and_si256(a, splat_byte(15)); }
inline __m256i high_nibbles32(__m256i a) { return low_nibbles32(_mm256_srli_epi16(a, 4)); }

/// For 16 codes: the two bytes each may touch, and the factor that brings it to a 16-bit lane's top.
struct PairPlaces {
  alignas(32) uint8_t bytes[32];
  alignas(32) uint16_t factors[16];
};
constexpr PairPlaces pair_places(int bits, int first_byte) {
  PairPlaces places = {};
  for (int i = 0; i < 16; ++i) {
    const int byte = first_byte + i * bits / 8, shift = i * bits % 8;
    places.bytes[2 * i] = static_cast<uint8_t>(byte);
    places.bytes[2 * i + 1] = static_cast<uint8_t>(shift + bits > 8 ? byte + 1 : 128);
    places.factors[i] = static_cast<uint16_t>(1 << (16 - bits - shift));
  }
  return places;
}
/// Codes 16 part to 16 part + 15 of the 64 at p, in 16-bit lanes.
template <int bits, int part>
inline __m256i unpack16(const void* p) {
  constexpr int begin = 2 * bits * part;
  constexpr int from = begin + 16 <= 8 * bits ? begin : 8 * bits - 16;
  static constexpr PairPlaces places = pair_places(bits, begin - from);
  const __m256i twice = _mm256_broadcastsi128_si256(load16(byte_at(p, from)));
  const __m256i pairs = _mm256_shuffle_epi8(twice, load32(places.bytes));
  return _mm256_srli_epi16(_mm256_mullo_epi16(pairs, load32(places.factors)), 16 - bits);
}
inline __m256i pack16(__m256i a, __m256i b) {
  return _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xd8);
}
template <int bits>
inline u8x64 unpack_lsb(const void* p) {
  if constexpr (bits == 4) {
    const __m256i packed = load32(p), low = low_nibbles32(packed), high = high_nibbles32(packed);
    const __m256i a = _mm256_unpacklo_epi8(low, high), b = _mm256_unpackhi_epi8(low, high);
    return {_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31)};
  } else {
    return {pack16(unpack16<bits, 0>(p), unpack16<bits, 1>(p)),
            pack16(unpack16<bits, 2>(p), unpack16<bits, 3>(p))};
  }
}
inline __m256i halves16(const void* p) {
  const __m128i packed = load16(p);
  return low_nibbles32(_mm256_set_m128i(_mm_srli_epi16(packed, 4), packed));
}
template <int distance>
inline u8x64 nibble_halves(const void* p) {
  return {halves16(p), halves16(byte_at(p, distance))};
}
template <int distance>
inline u8x64 four_sixteens(const void* p) {
  return {_mm256_set_m128i(load16(byte_at(p, distance)), load16(p)),
          _mm256_set_m128i(load16(byte_at(p, 3 * distance)), load16(byte_at(p, 2 * distance)))};
}
inline void split_nibbles(u8x64 a, u8x64& low, u8x64& high) {
  low = {low_nibbles32(a.lo), low_nibbles32(a.hi)};
  high = {high_nibbles32(a.lo), high_nibbles32(a.hi)};
}
inline void split_fours32(__m256i a, __m256i& first, __m256i& last) {
  const __m256i low = low_nibbles32(a), high = high_nibbles32(a);
  const __m256 two = _mm256_castsi256_ps(_mm256_unpacklo_epi8(low, high));
  const __m256 more = _mm256_castsi256_ps(_mm256_unpackhi_epi8(low, high));
  first = _mm256_castps_si256(_mm256_shuffle_ps(two, more, 0x88));
  last = _mm256_castps_si256(_mm256_shuffle_ps(two, more, 0xdd));
}
inline void split_fours(u8x64 a, u8x64& first, u8x64& last) {
  split_fours32(a.lo, first.lo, last.lo);
  split_fours32(a.hi, first.hi, last.hi);
}
inline void nibble_pairs(const void* p, u8x64& first, u8x64& last) {
  const __m256i a = load32(p), b = load32(byte_at(p, 32));
  first = {_mm256_unpacklo_epi8(low_nibbles32(a), high_nibbles32(a)),
           _mm256_unpacklo_epi8(low_nibbles32(b), high_nibbles32(b))};
  last = {_mm256_unpackhi_epi8(low_nibbles32(a), high_nibbles32(a)),
          _mm256_unpackhi_epi8(low_nibbles32(b), high_nibbles32(b))};
}
inline void split_groups(u8x64 a, u8x64 b, u8x64& first, u8x64& last) {
  first = {_mm256_permute2x128_si256(a.lo, a.hi, 0x20),
           _mm256_permute2x128_si256(b.lo, b.hi, 0x20)};
  last = {_mm256_permute2x128_si256(a.lo, a.hi, 0x31), _mm256_permute2x128_si256(b.lo, b.hi, 0x31)};
}
inline u8x64 nibbles_by_half(const void* p) {
  const __m256i packed = load32(p);
  return {low_nibbles32(packed), high_nibbles32(packed)};
}
template <int from, int to, int mask>
inline __m256i move_bits32(__m256i a) {
  if constexpr (from >= to) {
    return _mm256_and_si256(_mm256_srli_epi16(a, from - to), splat_byte(mask));
  } else {
    return _mm256_and_si256(_mm256_slli_epi16(a, to - from), splat_byte(mask));
  }
}
template <int first, int second, int to, int mask>
inline u8x64 move_bits(u8x64 a) {
  return {move_bits32<first, to, mask>(a.lo), move_bits32<second, to, mask>(a.hi)};
}

/// Eight sums of four products. Pairs are summed in 16 bits, which magnitudes up to 128 cannot overflow: wide codes come
/// less 128, and x takes their signs.
template <bool wide>
inline __m256i dot4_eight(__m256i sum, __m256i w, __m256i x) {
  const __m256i pairs = wide ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
                             : _mm256_maddubs_epi16(w, x);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
template <bool wide>
inline i32x16 dot4(i32x16 sum, u8x64 w, const void* x) {
  return {dot4_eight<wide>(sum.lo, w.lo, load32(x)),
          dot4_eight<wide>(sum.hi, w.hi, load32(byte_at(x, 32)))};
}
template <bool wide>
inline i32x16 dot4_each(i32x16 sum, u8x64 w, int32_t x) {
  const __m256i all = _mm256_set1_epi32(x);
  return {dot4_eight<wide>(sum.lo, w.lo, all), dot4_eight<wide>(sum.hi, w.hi, all)};
}

/// dot4 of w and x, then of v and y. Codes that are not wide are at most 64, so that four products fit 16 bits.
template <bool wide>
inline __m256i dot8_eight(__m256i sum, __m256i w, __m256i x, __m256i v, __m256i y) {
  if constexpr (wide) {
    return dot4_eight<wide>(dot4_eight<wide>(sum, w, x), v, y);
  } else {
    const __m256i fours = _mm256_add_epi16(_mm256_maddubs_epi16(w, x), _mm256_maddubs_epi16(v, y));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(fours, _mm256_set1_epi16(1)));
  }
}
template <bool wide>
inline i32x16 dot8(i32x16 sum, u8x64 w, const void* x, u8x64 v, const void* y) {
  return {dot8_eight<wide>(sum.lo, w.lo, load32(x), v.lo, load32(y)),
          dot8_eight<wide>(sum.hi, w.hi, load32(byte_at(x, 32)), v.hi, load32(byte_at(y, 32)))};
}
template <bool wide>
inline i32x16 dot8_each(i32x16 sum, u8x64 w, int32_t x, u8x64 v, int32_t y) {
  const __m256i all = _mm256_set1_epi32(x), later = _mm256_set1_epi32(y);
  return {dot8_eight<wide>(sum.lo, w.lo, all, v.lo, later),
          dot8_eight<wide>(sum.hi, w.hi, all, v.hi, later)};
}

/// Sums of products of pairs of bytes in 16 bits; who adds keeps them below 2^15.
struct WordSums {
  __m256i lo = _mm256_setzero_si256(), hi = _mm256_setzero_si256();
};
constexpr bool kHasWordSums = true;

inline WordSums operator+(WordSums a, WordSums b) {
  return {_mm256_add_epi16(a.lo, b.lo), _mm256_add_epi16(a.hi, b.hi)};
}
inline WordSums word_dot(u8x64 w, const void* x) {
  return {_mm256_maddubs_epi16(w.lo, load32(x)),
          _mm256_maddubs_epi16(w.hi, load32(byte_at(x, 32)))};
}
inline WordSums word_dot_each(WordSums sum, u8x64 w, int32_t x) {
  const __m256i all = _mm256_set1_epi32(x);
  return sum + WordSums{_mm256_maddubs_epi16(w.lo, all), _mm256_maddubs_epi16(w.hi, all)};
}
inline __m256i widen_words(__m256i words) { return _mm256_madd_epi16(words, _mm256_set1_epi16(1)); }
/// Sums of two neighbours each.
inline i32x16 widen_sums(WordSums words) { return {widen_words(words.lo), widen_words(words.hi)}; }

/// low + 128 high of n columns, a multiple of 64, as 16-bit numbers in the order that dot16 multiplies them in.
template <bool wide>
inline void widen_row(const void* low, const void* high, int64_t n, void* out) {
  const auto words = [](__m256i bytes) { return _mm256_srai_epi16(bytes, 8); };
  const auto join = [=](__m256i a, __m256i b) {
    return _mm256_add_epi16(words(a), _mm256_slli_epi16(words(b), 7));
  };
  for (int64_t i = 0; i < n; i += 32) {
    const __m256i a = load32(byte_at(low, i)), b = load32(byte_at(high, i));
    const __m256i first = join(_mm256_unpacklo_epi8(a, a), _mm256_unpacklo_epi8(b, b));
    const __m256i last = join(_mm256_unpackhi_epi8(a, a), _mm256_unpackhi_epi8(b, b));
    store_bytes(static_cast<uint8_t*>(out) + 2 * i, {first, last});
  }
}
inline __m256i dot16_eight(__m256i sum, __m256i w, const void* x) {
  const __m256i none = _mm256_setzero_si256();
  const __m256i first = _mm256_madd_epi16(_mm256_unpacklo_epi8(w, none), load32(x));
  const __m256i last = _mm256_madd_epi16(_mm256_unpackhi_epi8(w, none), load32(byte_at(x, 32)));
  return _mm256_add_epi32(sum, _mm256_add_epi32(first, last));
}
/// As dot4, but that each lane has eight bytes' products from within its sixteen bytes.
template <bool wide>
inline i32x16 dot16(i32x16 sum, u8x64 w, const void* x) {
  return {dot16_eight(sum.lo, w.lo, x), dot16_eight(sum.hi, w.hi, byte_at(x, 64))};
}

/// In each half: what a's and b's four (two) parts of four (eight) bytes are, two and two added, a's beside b's.
template <bool words>
inline __m256i add_lanes(__m256i a, __m256i b) {
  return words ? _mm256_add_epi16(a, b) : _mm256_add_epi32(a, b);
}
template <bool words>
inline __m256i fold_fours(__m256i a, __m256i b) {
  return add_lanes<words>(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}
template <bool words>
inline __m256i fold_eights(__m256i a, __m256i b) {
  return add_lanes<words>(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}
inline __m256i halves_in_order(__m256i sums) {
  return _mm256_permutevar8x32_epi32(sums, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
/// Eight sums of four lanes: a's low and high half, b's, c's, d's.
inline __m256i sums_of_halves(__m256i a, __m256i b, __m256i c, __m256i d) {
  return halves_in_order(fold_eights<false>(fold_fours<false>(a, b), fold_fours<false>(c, d)));
}
inline i32x16 sums_of_4(const i32x16* v) {
  return {sums_of_halves(v[0].lo, v[0].hi, v[1].lo, v[1].hi),
          sums_of_halves(v[2].lo, v[2].hi, v[3].lo, v[3].hi)};
}

/// The same of eight sums of 16 bits, which may become `room` times as large before they have 32.
template <int room>
inline __m256i sums_of_word_halves(__m256i a, __m256i b, __m256i c, __m256i d) {
  if constexpr (room < 2) {
    return sums_of_halves(widen_words(a), widen_words(b), widen_words(c), widen_words(d));
  } else if constexpr (room < 4) {
    const __m256i ab = widen_words(fold_fours<true>(a, b)),
                  cd = widen_words(fold_fours<true>(c, d));
    return halves_in_order(fold_eights<false>(ab, cd));
  } else {
    return halves_in_order(
        widen_words(fold_eights<true>(fold_fours<true>(a, b), fold_fours<true>(c, d))));
  }
}
template <int room>
inline i32x16 sums_of_4(const WordSums* v) {
  return {sums_of_word_halves<room>(v[0].lo, v[0].hi, v[1].lo, v[1].hi),
          sums_of_word_halves<room>(v[2].lo, v[2].hi, v[3].lo, v[3].hi)};
}

inline void transpose8(__m256i* v) {
  __m256i a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
    a[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
    v[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
  }
}
inline void transpose(i32x16* v) {
  __m256i corner[4][8];
  for (int i = 0; i < 8; ++i) {
    corner[0][i] = v[i].lo;
    corner[1][i] = v[i].hi;
    corner[2][i] = v[i + 8].lo;
    corner[3][i] = v[i + 8].hi;
  }
  for (auto& c : corner) transpose8(c);
  for (int i = 0; i < 8; ++i) {
    v[i] = {corner[0][i], corner[2][i]};
    v[i + 8] = {corner[1][i], corner[3][i]};
  }
}

inline void store_int8(void* p, i32x16 a) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm_packs_epi16(_mm256_castsi256_si128(words),
                                                             _mm256_extracti128_si256(words, 1)));
}

/// The 16-bit elements i / repeat of p for i < n, zeros after them.
template <int repeat>
inline __m256i repeat_u16(const void* p, int64_t n) {
  uint16_t some[16];
  if (n < 16) {
    std::memset(some, 0, sizeof some);
    std::memcpy(some, p, static_cast<size_t>((n + repeat - 1) / repeat) * 2);
    p = some;
  }
  if constexpr (repeat == 1) {
    return load32(p);
  } else if constexpr (repeat == 2) {
    const __m256i wide = _mm256_cvtepu16_epi32(load16(p));
    return _mm256_or_si256(wide, _mm256_slli_epi32(wide, 16));
  } else {
    const __m256i wide = _mm256_cvtepu16_epi64(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
    const __m256i pairs = _mm256_or_si256(wide, _mm256_slli_epi64(wide, 16));
    return _mm256_or_si256(pairs, _mm256_slli_epi64(pairs, 32));
  }
}
inline f32x16 f16_lanes(__m256i halves) {
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
          _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
}
template <int repeat>
inline f32x16 repeat_f16(const void* p, int64_t n) {
  return f16_lanes(repeat_u16<repeat>(p, n));
}
template <int repeat>
inline f32x16 repeat_bf16(const void* p, int64_t n) {
  const __m256i all = repeat_u16<repeat>(p, n);
  const __m256i lo = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(all));
  const __m256i hi = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(all, 1));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))};
}
/// n <= most float16 values, `stride` bytes apart; after them the first one again, or zeros.
template <int stride, int most>
[[gnu::always_inline]] inline f32x16 strided_f16(const void* p, int64_t n) {
  return f16_lanes(strided_u16<stride, most>(p, n));
}

inline void k_block_scales(const void* p, const void* q, f32x16& scale, f32x16& bias) {
  const KScalePair k = unpack_k_scales(p, q);
  scale = to_float(widen_u8((u8x16)k.codes)) * f16_lanes(k.unit);
  bias = to_float(widen_u8((u8x16)k.min_codes)) * f16_lanes(k.min_unit);
}

/// n <= 16 bytes, zeros after them.
inline u8x16 load_first_bytes(const void* p, int64_t n) {
  if (n == 16) return (u8x16)load16(p);
  uint8_t some[16] = {};
  std::memcpy(some, p, static_cast<size_t>(n));
  return (u8x16)load16(some);
}

inline f32x16 join_first(f32x16 a, f32x16 b) { return {a.lo, b.lo}; }
inline f32x16 join_first_last(f32x16 a, f32x16 b) { return {a.lo, b.hi}; }
inline f32x16 join_last(f32x16 a, f32x16 b) { return {a.hi, b.hi}; }

}  // namespace
}  // namespace sluice::kernels
