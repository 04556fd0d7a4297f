#include "sluice/kernels/strips.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace sluice::kernels {
namespace {

using Codes = Packing::Codes;
using Zeros = Packing::Zeros;

constexpr int32_t kWholeRow = 1 << 30;
constexpr int kAwqRow[8] = {0, 2, 4, 6, 1, 3, 5, 7};    // whose code is the i-th of a word
constexpr int kAwqPlace[8] = {0, 4, 1, 5, 2, 6, 3, 7};  // where a row's code is

int64_t round_up(int64_t n) { return (n + 63) / 64 * 64; }
int64_t groups_of(const Matrix& w) { return (w.cols + w.group_size - 1) / w.group_size; }
int64_t row_of(const Matrix& w, int64_t r) { return w.packing.first_row + r * w.packing.row_step; }
int64_t packed_row_bytes(const Matrix& w) { return w.cols * w.bits / 8; }
int64_t float_bytes(Format format) { return format == Format::f32 ? 4 : 2; }

/// Groups as the kernels have them: 32, 64 or 128 columns, of which the file's have one or more.
int64_t kernel_group(const Matrix& w) {
  const int64_t shared = std::min<int64_t>(w.group_size, w.cols);
  for (const int64_t size : {128, 64}) {
    if (shared % size == 0 && w.cols % size == 0) return size;
  }
  return 32;
}

/// What a strip's scratch holds, one after the other.
struct Layout {
  int64_t codes = 0;   ///< bytes of codes that are written anew
  int64_t scales = 0;  ///< bytes of float32 scales as the file groups them, of zeros as many
  int64_t out = 0;     ///< bytes of the kernels' scales, of biases as many; or of float32 rows

  explicit Layout(const Matrix& w) {
    const int64_t rows = strip_rows(w);
    if (w.packing.codes == Codes::transposed) {
      codes = round_up(rows * w.cols * float_bytes(w.format));
      return;
    }
    const bool in_place = w.packing.codes == Codes::rows;
    codes = in_place ? 0 : round_up(rows * packed_row_bytes(w));
    scales = round_up(rows * groups_of(w) * 4);
    if (w.format == Format::f32) out = round_up(rows * w.cols * 4);
    if (w.format == Format::affine) out = round_up(rows * (w.cols / kernel_group(w)) * 4);
  }
  int64_t bytes() const { return codes + 2 * scales + 2 * out; }
};

/// `bits` bits from bit `at` of p on, LSB first.
uint32_t bits_at(const std::byte* p, int64_t at, int bits) {
  const auto low = static_cast<uint32_t>(p[at / 8]);
  const int shift = static_cast<int>(at % 8);
  const uint32_t high = shift + bits > 8 ? static_cast<uint32_t>(p[at / 8 + 1]) : 0;
  return (low | high << 8) >> shift & ((1U << bits) - 1);
}

/// Of row `row` of all, group g.
int32_t zero_of(const Matrix& w, int64_t row, int64_t g) {
  const Packing& p = w.packing;
  const int64_t n_groups = groups_of(w);
  const auto stored = [&]() -> uint32_t {
    const int64_t bit = row * w.bits;
    switch (p.zeros) {
      case Zeros::down:
        return bits_at(w.biases + (bit / 32 * n_groups + g) * 4, bit % 32, w.bits);
      case Zeros::along:
        return bits_at(w.biases + g * (p.all_rows * w.bits / 8), bit, w.bits);
      default:
        return bits_at(w.biases + g * (p.all_rows / 2), row / 8 * 32 + kAwqPlace[row % 8] * 4, 4);
    }
  };
  if (p.zeros == Zeros::constant) return p.zero;
  if (p.zeros == Zeros::signed_rows)
    return static_cast<int8_t>(w.biases[row * n_groups + g]) + p.zero;
  return static_cast<int32_t>(stored() + static_cast<uint32_t>(p.zero)) & ((1 << w.bits) - 1);
}

/// n numbers of `type` as float32; of mxfp8 its scales, bytes that are exponents.
void read_floats(const KernelTable& kernels, const std::byte* data, Format type, int64_t n,
                 float* out) {
  if (type == Format::mxfp8) {
    for (int64_t i = 0; i < n; ++i) out[i] = std::ldexp(1.0F, static_cast<int>(data[i]) - 127);
    return;
  }
  Matrix row;
  row.format = type;
  row.rows = 1;
  row.cols = n;
  row.data = data;
  kernels.dequantize_row(row, 0, out);
}

/// scales[r * groups + g] of a strip's rows, where the file has the rows' of a group side by side.
void read_scales_by_group(const KernelTable& kernels, const Matrix& w, float* scales) {
  const int64_t n_groups = groups_of(w), size = float_bytes(w.scale_type);
  const int64_t at_once = w.packing.row_step == 1 ? w.rows : 1;
  float some[32];
  for (int64_t g = 0; g < n_groups; ++g) {
    const std::byte* of_group = w.scales + g * w.scale_row_bytes;
    for (int64_t r = 0; r < w.rows; r += at_once) {
      read_floats(kernels, of_group + row_of(w, r) * size, w.scale_type, at_once, some);
      for (int64_t i = 0; i < at_once; ++i) scales[(r + i) * n_groups + g] = some[i];
    }
  }
}

/// scales [rows, groups].
void read_scales(const KernelTable& kernels, const Matrix& w, float* scales) {
  const int64_t n_groups = groups_of(w);
  if (w.packing.scales_by_group) {
    read_scales_by_group(kernels, w, scales);
  } else {
    for (int64_t r = 0; r < w.rows; ++r) {
      const int64_t row = row_of(w, r) / w.packing.rows_per_scale;
      read_floats(kernels, w.scales + row * w.scale_row_bytes, w.scale_type, n_groups,
                  scales + r * n_groups);
    }
  }
  for (int64_t i = 0; i < w.rows * n_groups; ++i) scales[i] *= w.global_scale;
}

constexpr int64_t kAhead = 32;  // rows of words

/// Asks for a line, which may lie beyond what exists: rows of words are too far apart for the processor to follow.
void ask_for(const std::byte* p, int64_t ahead) {
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(p) +
                                                   static_cast<uintptr_t>(ahead)));
}

/// A row's words stand below each other.
void transpose_words(const Matrix& w, std::byte* out) {
  const int64_t row_bytes = packed_row_bytes(w), stride = 4 * w.packing.all_rows;
  for (int64_t first = 0; first < row_bytes; first += 64) {
    const int64_t end = std::min(first + 64, row_bytes);
    for (int64_t at = first; at < end; at += 4) {
      const std::byte* word = w.data + at / 4 * stride;
      ask_for(word + 4 * w.packing.first_row, kAhead * stride);
      for (int64_t r = 0; r < w.rows; ++r)
        std::memcpy(out + r * row_bytes + at, word + 4 * row_of(w, r), 4);
    }
  }
}

/// Floats of a row stand below each other.
template <class Float>
void transpose_floats(const Matrix& w, std::byte* out) {
  const auto size = static_cast<int64_t>(sizeof(Float));
  const int64_t stride = size * w.packing.all_rows;
  for (int64_t c = 0; c < w.cols; ++c) {
    const std::byte* const column = w.data + c * stride;
    ask_for(column + size * w.packing.first_row, kAhead * stride);
    for (int64_t r = 0; r < w.rows; ++r)
      std::memcpy(out + (r * w.cols + c) * size, column + size * row_of(w, r), sizeof(Float));
  }
}

/// A quarter's row as its own codes, four columns a byte.
void take_quarters(const Matrix& w, std::byte* out) {
  const int64_t quarter = w.packing.all_rows / 4, row_bytes = packed_row_bytes(w);
  for (int64_t r = 0; r < w.rows; ++r, out += row_bytes) {
    const int64_t row = row_of(w, r);
    const auto* const from = reinterpret_cast<const uint8_t*>(w.data) + row % quarter * w.cols;
    const int shift = static_cast<int>(row / quarter) * 2;
    for (int64_t i = 0; i < row_bytes; ++i) {
      int four = 0;
      for (int k = 0; k < 4; ++k) four |= (from[4 * i + k] >> shift & 3) << 2 * k;
      out[i] = static_cast<std::byte>(four);
    }
  }
}

/// Eight words of eight codes, [8][n], as n matrices [8, 8] of which each is transposed.
template <int n>
void transpose_codes(uint32_t (&words)[8][n]) {
  uint32_t mask = 0x0000ffff;
  for (int shift = 16; shift >= 4; shift /= 2, mask ^= mask << shift) {
    for (int i = 0; i < 8; ++i) {
      if ((i & shift / 4) != 0) continue;
      uint32_t* low = words[i];
      uint32_t* high = words[i + shift / 4];
      for (int k = 0; k < n; ++k) {
        const uint32_t t = (low[k] >> shift ^ high[k]) & mask;
        high[k] ^= t;
        low[k] ^= t << shift;
      }
    }
  }
}

void transpose_awq(const Matrix& w, std::byte* out) {
  constexpr int kWords = 4;
  const Packing& p = w.packing;
  const int64_t row_bytes = packed_row_bytes(w), stride = p.all_rows / 2;
  const int64_t last = row_of(w, w.rows - 1) / 8, all = p.all_rows / 8;
  for (int64_t first = p.first_row / 8; first <= last; first += kWords) {
    const int64_t n = std::min<int64_t>(kWords, all - first);
    for (int64_t at = 0; at < row_bytes; at += 4) {
      uint32_t words[8][kWords] = {};
      for (int k = 0; k < 8; ++k) {
        const std::byte* from = w.data + (2 * at + k) * stride + 4 * first;
        ask_for(from, kAhead * stride);
        std::memcpy(words[k], from, static_cast<size_t>(4 * n));
      }
      transpose_codes(words);
      for (int64_t word = 0; word < n; ++word) {
        for (int i = 0; i < 8; ++i) {
          const int64_t ahead = 8 * (first + word) + kAwqRow[i] - p.first_row;
          if (ahead < 0 || ahead % p.row_step != 0 || ahead / p.row_step >= w.rows) continue;
          std::memcpy(out + ahead / p.row_step * row_bytes + at, &words[i][word], 4);
        }
      }
    }
  }
}

void copy_signed(const Matrix& w, std::byte* out) {
  for (int64_t r = 0; r < w.rows; ++r, out += w.cols) {
    const std::byte* row = w.data + row_of(w, r) * w.row_bytes;
    for (int64_t i = 0; i < w.cols; ++i) out[i] = row[i] ^ std::byte{128};
  }
}

/// The kernels' scales and biases [rows, cols / group].
void spread_scales(const Matrix& w, const float* scales, const float* zeros, float* scale_out,
                   float* bias_out) {
  const int64_t n_groups = groups_of(w), size = kernel_group(w);
  const int64_t repeat = w.group_size >= w.cols ? w.cols / size : w.group_size / size;
  for (int64_t i = 0; i < w.rows * n_groups; ++i) {
    const int64_t column = i % n_groups * repeat * size;
    const int64_t n = std::min(repeat, (w.cols - column) / size);
    scale_out = std::fill_n(scale_out, n, scales[i]);
    bias_out = std::fill_n(bias_out, n, -zeros[i] * scales[i]);
  }
}

void write_floats(const Matrix& w, const std::byte* codes, int64_t row_bytes, const float* scales,
                  const float* zeros, float* out) {
  const int64_t n_groups = groups_of(w);
  for (int64_t r = 0; r < w.rows; ++r, out += w.cols, codes += row_bytes) {
    for (int64_t k = 0; k < w.cols; ++k) {
      const int64_t g = r * n_groups + w.packing.group_of[k];
      const auto code = static_cast<float>(bits_at(codes, k * w.bits, w.bits));
      out[k] = scales[g] * (code - zeros[g]);
    }
  }
}

Matrix unpack_transposed(const Matrix& w, std::byte* scratch) {
  if (w.format == Format::f32) {
    transpose_floats<uint32_t>(w, scratch);
  } else {
    transpose_floats<uint16_t>(w, scratch);
  }
  Matrix strip = w;
  strip.packing = {};
  strip.data = scratch;
  strip.row_bytes = w.cols * float_bytes(w.format);
  return strip;
}

int64_t coded_bytes(const Matrix& w) { return round_up(strip_rows(w) * w.cols); }

Matrix unpack_blocks(const Matrix& w, std::byte* scratch) {
  const int group = coded_group(w.format);
  auto* const scales = reinterpret_cast<float*>(scratch + coded_bytes(w));
  decode_blocks(w, scratch, scales);
  Matrix strip = w;
  strip.format = Format::codes8;
  strip.group_size = group;
  strip.data = scratch;
  strip.row_bytes = w.cols;
  strip.scales = reinterpret_cast<const std::byte*>(scales);
  strip.scale_row_bytes = w.cols / group * 4;
  return strip;
}

}  // namespace

int64_t strip_bytes(const Matrix& w) noexcept {
  if (is_packed(w)) return Layout(w).bytes();
  if (!is_coded(w.format)) return 0;
  return coded_bytes(w) + round_up(strip_rows(w) * (w.cols / coded_group(w.format)) * 4);
}

Matrix unpack_strip(const KernelTable& kernels, const Matrix& w, std::byte* scratch) noexcept {
  if (!is_packed(w)) return unpack_blocks(w, scratch);
  if (w.packing.codes == Codes::transposed) return unpack_transposed(w, scratch);
  const Layout layout(w);
  auto* const scales = reinterpret_cast<float*>(scratch + layout.codes);
  auto* const zeros = reinterpret_cast<float*>(scratch + layout.codes + layout.scales);
  auto* const out = reinterpret_cast<float*>(scratch + layout.codes + 2 * layout.scales);
  Matrix strip = w;
  strip.packing = {};
  strip.global_scale = 1.0F;
  strip.scale_type = Format::f32;
  strip.data = scratch;
  strip.row_bytes = packed_row_bytes(w);
  read_scales(kernels, w, scales);
  if (w.packing.codes == Codes::rows) {
    strip.data = w.data + w.packing.first_row * w.row_bytes;
    strip.row_bytes = w.row_bytes * w.packing.row_step;
  } else if (w.packing.codes == Codes::signed_rows) {
    copy_signed(w, scratch);
  } else if (w.packing.codes == Codes::columns) {
    transpose_words(w, scratch);
  } else if (w.packing.codes == Codes::quarters) {
    take_quarters(w, scratch);
  } else {
    transpose_awq(w, scratch);
  }
  if (w.format == Format::fp8) {
    strip.scales = reinterpret_cast<const std::byte*>(scales);
    strip.biases = nullptr;
    if (w.group_size >= w.cols) strip.group_size = kWholeRow;
    strip.scale_row_bytes = 4 * groups_of(w);
    return strip;
  }
  const int64_t n_groups = groups_of(w);
  const int32_t less = w.packing.codes == Codes::signed_rows ? 128 : 0;
  for (int64_t i = 0; i < w.rows * n_groups; ++i)
    zeros[i] = static_cast<float>(zero_of(w, row_of(w, i / n_groups), i % n_groups) + less);
  if (w.format == Format::f32) {
    write_floats(w, strip.data, strip.row_bytes, scales, zeros, out);
    strip.data = reinterpret_cast<const std::byte*>(out);
    strip.row_bytes = 4 * w.cols;
    strip.scales = strip.biases = nullptr;
    return strip;
  }
  auto* const biases = reinterpret_cast<float*>(reinterpret_cast<std::byte*>(out) + layout.out);
  spread_scales(w, scales, zeros, out, biases);
  strip.group_size = static_cast<int32_t>(kernel_group(w));
  strip.scales = reinterpret_cast<const std::byte*>(out);
  strip.biases = reinterpret_cast<const std::byte*>(biases);
  strip.scale_row_bytes = 4 * (w.cols / kernel_group(w));
  return strip;
}

}  // namespace sluice::kernels
