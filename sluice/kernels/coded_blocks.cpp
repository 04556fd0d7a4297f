// GGUF's blocks of codebooks and of very few bits, one struct each:
//   eight(p, i)    the codes at columns 8 i to 8 i + 7 of the block at p, a byte each, kZero more than they mean
//   scale(p, g)    the scale of group g
// Columns of a group lie together, so one loop decodes them all.
#include "sluice/kernels/coded_blocks.h"

#include <algorithm>
#include <cstring>

#include "sluice/kernels/grids.h"

namespace sluice::kernels {
namespace {

constexpr uintptr_t kAhead = 1024;  // bytes that are asked for meanwhile
constexpr uint64_t kOnes = 0x0101010101010101;
constexpr uint64_t kZero = 64 * kOnes;

template <class T>
T load_as(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}
uint32_t byte_at(const std::byte* p) { return static_cast<uint32_t>(*p); }
uint32_t nibble_at(const std::byte* p, int i) { return byte_at(p + i / 2) >> (i % 2 * 4) & 15; }

float half_to_float(uint32_t half) {
  const uint32_t sign = (half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 0x3ff;
  float value = 0;
  if (exponent == 0) {
    value = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -value : value;
  }
  const uint32_t bits =
      sign | (exponent == 31 ? 0x7f800000 : (exponent + 112) << 23) | mantissa << 13;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
float load_half(const std::byte* p) { return half_to_float(load_as<uint16_t>(p)); }

/// Of words of `columns` places of `bits` bits, the values as bytes.
template <class Word, size_t n, size_t n_values>
constexpr auto spread_grid(const uint16_t (&words)[n], int bits,
                           const uint8_t (&values)[n_values]) {
  struct Grid {
    Word at[n];
  } grid{};
  for (size_t i = 0; i < n; ++i) {
    for (size_t column = 0; column < sizeof(Word); ++column) {
      const size_t place = words[i] >> (bits * static_cast<int>(column)) & (n_values - 1);
      grid.at[i] |= static_cast<Word>(values[place]) << (8 * column);
    }
  }
  return grid;
}

constexpr uint8_t kMagnitudes2[] = {8, 25, 43, 0};
constexpr uint8_t kMagnitudes3Xxs[] = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr uint8_t kMagnitudes3S[] = {1, 3, 5, 7, 9, 11, 13, 15};
constexpr uint8_t kThirds[] = {56, 64, 72, 0};  // 8 times -1, 0, 1, and 64

constexpr auto kIq2Xxs = spread_grid<uint64_t>(kIq2XxsGrid, 2, kMagnitudes2);
constexpr auto kIq2Xs = spread_grid<uint64_t>(kIq2XsGrid, 2, kMagnitudes2);
constexpr auto kIq2S = spread_grid<uint64_t>(kIq2SGrid, 2, kMagnitudes2);
constexpr auto kIq3Xxs = spread_grid<uint32_t>(kIq3XxsGrid, 3, kMagnitudes3Xxs);
constexpr auto kIq3S = spread_grid<uint32_t>(kIq3SGrid, 3, kMagnitudes3S);
constexpr auto kIq1 = spread_grid<uint64_t>(kIq1Grid, 2, kThirds);

/// 0x3f in byte i where bit i is set.
struct Signs {
  uint64_t of[256];
};
constexpr Signs all_signs() {
  Signs signs{};
  for (uint64_t bits = 0; bits < 256; ++bits) {
    for (int i = 0; i < 8; ++i) signs.of[bits] |= (bits >> i & 1) * 0x3f << (8 * i);
  }
  return signs;
}
constexpr Signs kSigns = all_signs();

/// Of seven signs, an eighth that makes the number of minuses even.
constexpr Signs even_signs() {
  Signs signs{};
  for (unsigned bits = 0; bits < 128; ++bits)
    signs.of[bits] = kSigns.of[bits | (__builtin_popcount(bits) % 2 != 0 ? 128U : 0U)];
  return signs;
}
constexpr Signs kEvenSigns = even_signs();

/// 64 + or - each magnitude, of 0 to 63: 64 - m is (m ^ 63) + 1. No byte carries.
uint64_t with_signs(uint64_t magnitudes, uint64_t signs) {
  return (magnitudes ^ signs) + (kZero - signs);
}

struct Base {
  static constexpr int kColumns = 256;
  static constexpr int kGroup = 32;
};

struct Iq2Xxs : Base {
  static constexpr int kBytes = 66;
  static uint64_t eight(const std::byte* p, int i) {
    const std::byte* of32 = p + 2 + i / 4 * 8;
    const uint32_t signs = load_as<uint32_t>(of32 + 4) >> (7 * (i % 4)) & 127;
    return with_signs(kIq2Xxs.at[byte_at(of32 + i % 4)], kEvenSigns.of[signs]);
  }
  static float scale(const std::byte* p, int g) {
    const uint32_t code = load_as<uint32_t>(p + 6 + 8 * g) >> 28;
    return load_half(p) * (0.5F + static_cast<float>(code)) * 0.25F;
  }
};

struct Iq2Xs : Base {
  static constexpr int kGroup = 16;
  static constexpr int kBytes = 74;
  static uint64_t eight(const std::byte* p, int i) {
    const uint32_t code = load_as<uint16_t>(p + 2 + 2 * i);
    return with_signs(kIq2Xs.at[code & 511], kEvenSigns.of[code >> 9]);
  }
  static float scale(const std::byte* p, int g) {
    return load_half(p) * (0.5F + static_cast<float>(nibble_at(p + 66, g))) * 0.25F;
  }
};

struct Iq2S : Base {
  static constexpr int kGroup = 16;
  static constexpr int kBytes = 82;
  static uint64_t eight(const std::byte* p, int i) {
    const uint32_t high = byte_at(p + 66 + i / 4) >> (i % 4 * 2) & 3;
    return with_signs(kIq2S.at[byte_at(p + 2 + i) | high << 8], kSigns.of[byte_at(p + 34 + i)]);
  }
  static float scale(const std::byte* p, int g) {
    return load_half(p) * (0.5F + static_cast<float>(nibble_at(p + 74, g))) * 0.25F;
  }
};

struct Iq3Xxs : Base {
  static constexpr int kBytes = 98;
  static uint64_t eight(const std::byte* p, int i) {
    const uint64_t first = kIq3Xxs.at[byte_at(p + 2 + 2 * i)];
    const uint64_t last = kIq3Xxs.at[byte_at(p + 3 + 2 * i)];
    const uint32_t signs = load_as<uint32_t>(p + 66 + i / 4 * 4) >> (7 * (i % 4)) & 127;
    return with_signs(first | last << 32, kEvenSigns.of[signs]);
  }
  static float scale(const std::byte* p, int g) {
    const uint32_t code = load_as<uint32_t>(p + 66 + 4 * g) >> 28;
    return load_half(p) * (0.5F + static_cast<float>(code)) * 0.5F;
  }
};

struct Iq3S : Base {
  static constexpr int kBytes = 110;
  static uint64_t eight(const std::byte* p, int i) {
    const uint32_t high = byte_at(p + 66 + i / 4) >> (i % 4 * 2);
    const uint64_t first = kIq3S.at[byte_at(p + 2 + 2 * i) | (high & 1) << 8];
    const uint64_t last = kIq3S.at[byte_at(p + 3 + 2 * i) | (high & 2) << 7];
    return with_signs(first | last << 32, kSigns.of[byte_at(p + 74 + i)]);
  }
  static float scale(const std::byte* p, int g) {
    return load_half(p) * static_cast<float>(1 + 2 * nibble_at(p + 106, g));
  }
};

/// 8 times a value plus or minus an eighth.
uint64_t shifted(uint32_t place, bool down) {
  return down ? kIq1.at[place] - kOnes : kIq1.at[place] + kOnes;
}

struct Iq1S : Base {
  static constexpr int kBytes = 50;
  static uint64_t eight(const std::byte* p, int i) {
    const uint32_t high = load_as<uint16_t>(p + 34 + i / 4 * 2);
    return shifted(byte_at(p + 2 + i) | (high >> (i % 4 * 3) & 7) << 8, (high & 0x8000) != 0);
  }
  static float scale(const std::byte* p, int g) {
    const uint32_t code = load_as<uint16_t>(p + 34 + 2 * g) >> 12 & 7;
    return load_half(p) * static_cast<float>(2 * code + 1) * 0.125F;
  }
};

/// The block's scale is in the highest four bits of four words.
struct Iq1M : Base {
  static constexpr int kGroup = 16;
  static constexpr int kBytes = 56;
  static uint64_t eight(const std::byte* p, int i) {
    const uint32_t high = nibble_at(p + 32, i);
    return shifted(byte_at(p + i) | (high & 7) << 8, (high & 8) != 0);
  }
  static float scale(const std::byte* p, int g) {
    uint32_t half = 0;
    for (int i = 0; i < 4; ++i)
      half |= static_cast<uint32_t>(load_as<uint16_t>(p + 48 + 2 * i) >> 12) << (4 * i);
    const uint32_t code = load_as<uint16_t>(p + 48 + g / 4 * 2) >> (g % 4 * 3) & 7;
    return half_to_float(half) * static_cast<float>(2 * code + 1) * 0.125F;
  }
};

/// Five digits of base 3 in a byte, as a fraction of 256: digit l is the whole part of 3 (3^l byte mod 256) / 256.
struct Tq1 : Base {
  static constexpr int kBytes = 54;
  static uint64_t digits(uint64_t bytes, uint64_t power) {
    constexpr uint64_t kEven = 0x00ff00ff00ff00ff;
    const auto of_even = [&](uint64_t even) { return (((even * power) & kEven) * 3) >> 8 & kEven; };
    return of_even(bytes & kEven) | of_even(bytes >> 8 & kEven) << 8;
  }
  static uint64_t eight(const std::byte* p, int i) {
    constexpr uint64_t kPowers[] = {1, 3, 9, 27, 81};
    constexpr uint64_t kMinusOne = kZero - kOnes;
    if (i < 20) return digits(load_as<uint64_t>(p + i % 4 * 8), kPowers[i / 4]) + kMinusOne;
    if (i < 30)
      return digits(load_as<uint64_t>(p + 32 + i % 2 * 8), kPowers[(i - 20) / 2]) + kMinusOne;
    const uint64_t last = load_as<uint32_t>(p + 48), both = last | last << 32;
    constexpr uint64_t kLow = 0xffffffff;
    return ((digits(both, kPowers[2 * (i - 30)]) & kLow) |
            (digits(both, kPowers[2 * (i - 30) + 1]) & ~kLow)) +
           kMinusOne;
  }
  static float scale(const std::byte* p, int) { return load_half(p + 52); }
};

struct Tq2 : Base {
  static constexpr int kBytes = 66;
  static uint64_t eight(const std::byte* p, int i) {
    const auto bytes = load_as<uint64_t>(p + i / 16 * 32 + i % 4 * 8);
    return (bytes >> (i % 16 / 4 * 2) & 3 * kOnes) + (kZero - kOnes);
  }
  static float scale(const std::byte* p, int) { return load_half(p + 64); }
};

struct Q1 : Base {
  static constexpr int kColumns = 128;
  static constexpr int kBytes = 18;
  static uint64_t eight(const std::byte* p, int i) {
    return (kSigns.of[byte_at(p + 2 + i)] & 2 * kOnes) + (kZero - kOnes);
  }
  static float scale(const std::byte* p, int) { return load_half(p); }
};

struct Q2 : Base {
  static constexpr int kColumns = 64;
  static constexpr int kBytes = 18;
  static uint64_t eight(const std::byte* p, int i) {
    uint64_t codes = load_as<uint16_t>(p + 2 + 2 * i);
    codes = (codes | codes << 24) & 0x000000ff000000ff;
    codes = (codes | codes << 12) & 0x000f000f000f000f;
    codes = (codes | codes << 6) & 3 * kOnes;
    return codes + (kZero - kOnes);
  }
  static float scale(const std::byte* p, int) { return load_half(p); }
};

/// Values of E2M1 doubled; scales of E4M3 without a sign, halved, of which 0x7f is zero.
struct NvFp4 : Base {
  static constexpr int kColumns = 64;
  static constexpr int kGroup = 16;
  static constexpr int kBytes = 36;
  static uint64_t eight(const std::byte* p, int i) {
    const uint64_t codes = load_as<uint64_t>(p + 4 + i / 2 * 8) >> (i % 2 * 4);
    const uint64_t low = codes & kOnes, middle = codes >> 1 & kOnes, high = codes >> 2 & kOnes;
    // 0 to 7 mean 0, 1, 2, 3, 4, 6, 8, 12.
    const uint64_t more = (high & low) + 2 * (high & middle) + 2 * (high & middle & low);
    return with_signs((codes & 7 * kOnes) + more, (codes >> 3 & kOnes) * 63);
  }
  static float scale(const std::byte* p, int g) {
    const uint32_t code = byte_at(p + g), exponent = code >> 3 & 15, mantissa = code & 7;
    if (code == 0x7f) return 0;
    if (exponent == 0) return static_cast<float>(mantissa) * 0x1p-10F;
    return static_cast<float>(8 + mantissa) * static_cast<float>(1U << exponent) * 0x1p-11F;
  }
};

template <class F>
void decode(const Matrix& w, std::byte* codes, float* scales) {
  const int64_t n_blocks = w.cols / F::kColumns;
  for (int64_t r = 0; r < w.rows; ++r) {
    const std::byte* p = w.data + r * w.row_bytes;
    for (int64_t block = 0; block < n_blocks; ++block, p += F::kBytes) {
      __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(p) + kAhead));
      for (int i = 0; i < F::kColumns / 8; ++i, codes += 8) {
        const uint64_t eight = F::eight(p, i);
        std::memcpy(codes, &eight, 8);
      }
      for (int g = 0; g < F::kColumns / F::kGroup; ++g) *scales++ = F::scale(p, g);
    }
  }
}

struct Coding {
  int group;
  void (*decode)(const Matrix& w, std::byte* codes, float* scales);
};
template <class F>
constexpr Coding coding() {
  return {F::kGroup, decode<F>};
}

Coding coding_of(Format format) {
  switch (format) {
    case Format::iq2_xxs:
      return coding<Iq2Xxs>();
    case Format::iq2_xs:
      return coding<Iq2Xs>();
    case Format::iq2_s:
      return coding<Iq2S>();
    case Format::iq3_xxs:
      return coding<Iq3Xxs>();
    case Format::iq3_s:
      return coding<Iq3S>();
    case Format::iq1_s:
      return coding<Iq1S>();
    case Format::iq1_m:
      return coding<Iq1M>();
    case Format::tq1_0:
      return coding<Tq1>();
    case Format::tq2_0:
      return coding<Tq2>();
    case Format::q1_0:
      return coding<Q1>();
    case Format::q2_0:
      return coding<Q2>();
    default:
      return coding<NvFp4>();
  }
}

}  // namespace

int coded_group(Format format) noexcept { return coding_of(format).group; }

void decode_blocks(const Matrix& w, std::byte* codes, float* scales) noexcept {
  coding_of(w.format).decode(w, codes, scales);
}

}  // namespace sluice::kernels
