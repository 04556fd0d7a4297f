#pragma once

// Bytes in AVX2; dot products are in int8_avx2.h and int8_avx_vnni.h. The names are int8_generic.h's.

#include "sluice/kernels/int8/bytes_x86.h"
#include "sluice/kernels/simd/simd_avx2.h"

namespace sluice::kernels {
namespace {

constexpr int kPanelVectors = 1;
constexpr int kPanelTokens = 4;
constexpr bool kPanelInRegisters = false;
constexpr int kPanelSteps = 4;

struct u8x64 {
  __m256i lo, hi;
};

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

// Pieces: what a register holds of 64 bytes.
constexpr int kPieces = 2;
constexpr int kPieceBytes = 32;
constexpr int kRowsAtOnce = 1;
struct Bytes {
  __m256i v;
};
struct Ints {
  __m256i v;
};
struct Floats {
  __m256 v;
};
template <int p>
inline Bytes piece_of(u8x64 a) {
  return {p == 0 ? a.lo : a.hi};
}
template <int p>
inline Floats piece_of(f32x16 a) {
  return {p == 0 ? a.lo : a.hi};
}
inline Ints ints_at(const void* p) { return {load32(p)}; }
inline Floats floats_at(const void* p) { return {_mm256_castsi256_ps(load32(p))}; }
inline void store_piece(float* p, Floats a) { _mm256_storeu_ps(p, a.v); }
inline Floats operator*(Floats a, Floats b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Floats mul_add(Floats a, Floats b, Floats c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Floats to_float(Ints a) { return {_mm256_cvtepi32_ps(a.v)}; }
inline Ints operator+(Ints a, Ints b) { return {_mm256_add_epi32(a.v, b.v)}; }
inline Ints add_high(Ints low, Ints high) {
  return {_mm256_add_epi32(low.v, _mm256_slli_epi32(high.v, 7))};
}
inline Bytes load_shared(const void* p) { return {load32(p)}; }

/// Lane 4 q + v: the sum of quarter q of parts[v].
inline Ints fold_parts(const Ints (&parts)[4]) {
  const auto fold = [](__m256i a, __m256i b) {
    return _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
  };
  const __m256i ab = fold(parts[0].v, parts[1].v), cd = fold(parts[2].v, parts[3].v);
  return {_mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd))};
}
// Slots: lane 4 q + v of the joined vector is lane 4 q + v % width of rows[v / width], for width 1 or 2.
template <int width>
inline Floats join_slots(const Floats (&rows)[4 / width]) {
  const auto pairs = [](__m256 a, __m256 b) {
    return _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
  };
  if constexpr (width == 2) {
    return {pairs(rows[0].v, rows[1].v)};
  } else {
    return {
        pairs(_mm256_unpacklo_ps(rows[0].v, rows[1].v), _mm256_unpacklo_ps(rows[2].v, rows[3].v))};
  }
}
template <int width>
inline void split_slots(Floats joined, Floats (&rows)[4 / width]) {
  if constexpr (width == 2) {
    rows[0].v = _mm256_blend_ps(rows[0].v, joined.v, 0x33);
    rows[1].v = _mm256_blend_ps(rows[1].v, _mm256_permute_ps(joined.v, 0x0e), 0x33);
  } else {
    rows[0].v = _mm256_blend_ps(rows[0].v, joined.v, 0x11);
    rows[1].v = _mm256_blend_ps(rows[1].v, _mm256_permute_ps(joined.v, 0x01), 0x11);
    rows[2].v = _mm256_blend_ps(rows[2].v, _mm256_permute_ps(joined.v, 0x02), 0x11);
    rows[3].v = _mm256_blend_ps(rows[3].v, _mm256_permute_ps(joined.v, 0x03), 0x11);
  }
}
/// out[i] = tree_sum(transpose_lanes(rows[i])).
inline void lane_sums(const f32x16 (&rows)[4], float* out) {
  const auto quarters = [](__m256 a, __m256 b, __m256 c, __m256 d) {
    const auto twos = [](__m256 e, __m256 f) {  // of each quarter: 0 + 2 and 1 + 3 of e, then of f
      return _mm256_add_ps(_mm256_shuffle_ps(e, f, 0x44), _mm256_shuffle_ps(e, f, 0xee));
    };
    const __m256 ab = twos(a, b), cd = twos(c, d);
    return _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x88), _mm256_shuffle_ps(ab, cd, 0xdd));
  };
  const __m256 halves = _mm256_add_ps(quarters(rows[0].lo, rows[1].lo, rows[2].lo, rows[3].lo),
                                      quarters(rows[0].hi, rows[1].hi, rows[2].hi, rows[3].hi));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1)));
}

inline void transpose_quarters32(__m256i& a, __m256i& b, __m256i& c, __m256i& d) {
  const __m256i ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d);
  const __m256i ab_high = _mm256_unpackhi_epi32(a, b), cd_high = _mm256_unpackhi_epi32(c, d);
  a = _mm256_unpacklo_epi64(ab, cd);
  b = _mm256_unpackhi_epi64(ab, cd);
  c = _mm256_unpacklo_epi64(ab_high, cd_high);
  d = _mm256_unpackhi_epi64(ab_high, cd_high);
}
/// Lane 4 q + v of the result's vector l is lane 4 q + l of vector v.
inline void transpose_quarters(u8x64 (&a)[4]) {
  transpose_quarters32(a[0].lo, a[1].lo, a[2].lo, a[3].lo);
  transpose_quarters32(a[0].hi, a[1].hi, a[2].hi, a[3].hi);
}
/// Lane 4 q + v becomes lane 4 v + q.
inline f32x16 transpose_lanes(f32x16 a) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  return {_mm256_permutevar8x32_ps(_mm256_unpacklo_ps(a.lo, a.hi), order),
          _mm256_permutevar8x32_ps(_mm256_unpackhi_ps(a.lo, a.hi), order)};
}
constexpr bool kHasLanesOfEight = true;
/// Eight 16-bit floats, each for two groups, in the order of lanes: lane 4 q + v is number (4 v + q) / 2.
inline f32x16 lanes_of_eight(const void* p, bool is_bf16) {
  const __m128i eight = load16(p);
  if (is_bf16) {
    const __m256i all = _mm256_broadcastsi128_si256(eight);
    const __m256i even =
        _mm256_broadcastsi128_si256(_mm_set_epi32(0x0d0c8080, 0x09088080, 0x05048080, 0x01008080));
    const __m256i odd =
        _mm256_broadcastsi128_si256(_mm_set_epi32(0x0f0e8080, 0x0b0a8080, 0x07068080, 0x03028080));
    return {_mm256_castsi256_ps(_mm256_shuffle_epi8(all, even)),
            _mm256_castsi256_ps(_mm256_shuffle_epi8(all, odd))};
  }
  const __m128i even = _mm_set_epi32(0x0d0c0908, 0x05040100, 0x0d0c0908, 0x05040100);
  const __m128i odd = _mm_set_epi32(0x0f0e0b0a, 0x07060302, 0x0f0e0b0a, 0x07060302);
  return {_mm256_cvtph_ps(_mm_shuffle_epi8(eight, even)),
          _mm256_cvtph_ps(_mm_shuffle_epi8(eight, odd))};
}
/// Of each two quarters of a and of b: the first ones (the second ones) side by side.
inline void join_quarters(u8x64 a, u8x64 b, u8x64& first, u8x64& second) {
  first = {_mm256_permute2x128_si256(a.lo, b.lo, 0x20),
           _mm256_permute2x128_si256(a.hi, b.hi, 0x20)};
  second = {_mm256_permute2x128_si256(a.lo, b.lo, 0x31),
            _mm256_permute2x128_si256(a.hi, b.hi, 0x31)};
}
/// Of each eight bytes the even ones, then the odd ones.
inline u8x64 evens_first(u8x64 a) {
  const __m256i order = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15));
  return {_mm256_shuffle_epi8(a.lo, order), _mm256_shuffle_epi8(a.hi, order)};
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
/// n <= 16 float16 values, `stride` bytes apart; after them the first one again, or zeros.
template <int stride>
[[gnu::always_inline]] inline f32x16 strided_f16(const void* p, int64_t n) {
  return f16_lanes(strided_u16<stride>(p, n));
}

template <int stride>
[[gnu::always_inline]] inline f32x16 strided_lanes(const void* const (&part)[4]) {
  return f16_lanes(strided_lanes_u16<stride>(part));
}

/// k_block_scales() in the order of lanes.
inline void k_lane_scales(const void* p, const void* q, f32x16& scale, f32x16& bias) {
  const KScalePair k = unpack_k_scales(p, q);
  const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const auto codes = [=](__m128i a) {
    return to_float(widen_u8((u8x16)_mm_shuffle_epi8(a, order)));
  };
  int32_t units[2];
  std::memcpy(units, p, 4);
  std::memcpy(units + 1, q, 4);
  const __m128 both = _mm_cvtph_ps(_mm_set_epi32(0, 0, units[1], units[0]));
  const auto twice = [](__m128 a) { return f32x16{_mm256_set_m128(a, a), _mm256_set_m128(a, a)}; };
  scale = codes(k.codes) * twice(_mm_permute_ps(both, 0xa0));
  bias = codes(k.min_codes) * twice(_mm_xor_ps(_mm_permute_ps(both, 0xf5), _mm_set1_ps(-0.0F)));
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

}  // namespace
}  // namespace sluice::kernels
