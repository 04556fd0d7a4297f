#include "sluice/kernels/strips.h"

#include <gtest/gtest.h>

#include <cstring>

#include "sluice/kernels/testing/stored_matrix.h"

namespace sluice::kernels {
namespace {

using Codes = Packing::Codes;
using Zeros = Packing::Zeros;

/// Integers as others pack them: [rows, cols] codes, and [rows, groups] scales and zeros, placed by the definitions in matrix.h.
struct Packed {
  int64_t rows, cols, groups;
  int bits;
  std::vector<int> codes, zeros;
  std::vector<float> scales;
  std::vector<std::byte> data, scale_data, zero_data;
  Matrix m;

  Packed(int64_t n_rows, int64_t n_cols, int64_t group_size, int n_bits, std::mt19937& random)
      : rows(n_rows), cols(n_cols), groups((n_cols + group_size - 1) / group_size), bits(n_bits) {
    for (int64_t i = 0; i < rows * cols; ++i)
      codes.push_back(static_cast<int>(random() >> 8) & most());
    for (int64_t i = 0; i < rows * groups; ++i)
      zeros.push_back(static_cast<int>(random() >> 8) & most());
    scales = random_floats(rows * groups, random);
    m.format = Format::affine;
    m.scale_type = Format::f32;
    m.bits = static_cast<uint8_t>(bits);
    m.group_size = static_cast<int32_t>(group_size);
    m.rows = rows;
    m.cols = cols;
    m.row_bytes = cols * bits / 8;
    m.packing.all_rows = rows;
  }
  int most() const { return (1 << bits) - 1; }
  int code(int64_t r, int64_t c) const { return codes[static_cast<size_t>(r * cols + c)]; }
  int zero(int64_t r, int64_t g) const { return zeros[static_cast<size_t>(r * groups + g)]; }
  float scale(int64_t r, int64_t g) const { return scales[static_cast<size_t>(r * groups + g)]; }

  static void put(std::vector<std::byte>& to, int64_t bit, int value, int n) {
    if (to.size() * 8 < static_cast<size_t>(bit + n))
      to.resize(static_cast<size_t>(bit + n + 7) / 8);
    for (int i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>(bit + i);
      if ((value >> i & 1) != 0) to[at / 8] |= static_cast<std::byte>(1 << at % 8);
    }
  }
  void place_scales(bool by_group) {
    m.packing.scales_by_group = by_group;
    m.scale_row_bytes = 4 * (by_group ? rows : groups);
    scale_data.resize(static_cast<size_t>(rows * groups * 4));
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t g = 0; g < groups; ++g) {
        const float value = scale(r, g);
        std::memcpy(scale_data.data() + (by_group ? g * rows + r : r * groups + g) * 4, &value, 4);
      }
    }
  }
  Matrix matrix() {
    m.data = data.data();
    m.scales = scale_data.data();
    m.biases = zero_data.empty() ? nullptr : zero_data.data();
    return m;
  }
};

Packed gptq(int64_t rows, int64_t cols, int64_t group_size, int bits, std::mt19937& random) {
  Packed p(rows, cols, group_size, bits, random);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t bit = 0; bit < cols * bits; ++bit) {
      const int value = p.code(r, bit / bits) >> bit % bits & 1;
      Packed::put(p.data, (bit / 32 * rows + r) * 32 + bit % 32, value, 1);
    }
    for (int64_t g = 0; g < p.groups; ++g)
      Packed::put(p.zero_data, (g * rows + r) * bits, p.zero(r, g), bits);
  }
  p.m.packing.codes = Codes::columns;
  p.m.packing.zeros = Zeros::along;
  p.place_scales(true);
  return p;
}

Packed awq(int64_t rows, int64_t cols, int64_t group_size, std::mt19937& random) {
  constexpr int kOrder[] = {0, 2, 4, 6, 1, 3, 5, 7};
  Packed p(rows, cols, group_size, 4, random);
  for (int64_t word = 0; word < rows / 8; ++word) {
    for (int i = 0; i < 8; ++i) {
      const int64_t r = word * 8 + kOrder[i];
      for (int64_t c = 0; c < cols; ++c)
        Packed::put(p.data, (c * rows / 8 + word) * 32 + 4 * i, p.code(r, c), 4);
      for (int64_t g = 0; g < p.groups; ++g)
        Packed::put(p.zero_data, (g * rows / 8 + word) * 32 + 4 * i, p.zero(r, g), 4);
    }
  }
  p.m.packing.codes = Codes::awq;
  p.m.packing.zeros = Zeros::awq;
  p.place_scales(true);
  return p;
}

Packed by_rows(int64_t rows, int64_t cols, int64_t group_size, int bits, std::mt19937& random) {
  Packed p(rows, cols, group_size, bits, random);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c)
      Packed::put(p.data, (r * cols + c) * bits, p.code(r, c), bits);
    for (int64_t g = 0; g < p.groups; ++g) {
      const int64_t bit = r * bits;
      Packed::put(p.zero_data, (bit / 32 * p.groups + g) * 32 + bit % 32, p.zero(r, g), bits);
    }
  }
  p.m.packing.codes = Codes::rows;
  p.m.packing.zeros = Zeros::down;
  p.place_scales(false);
  return p;
}

Packed quarters(int64_t rows, int64_t cols, std::mt19937& random) {
  Packed p(rows, cols, cols, 2, random);
  p.zeros.assign(static_cast<size_t>(rows), 0);
  p.scales.assign(static_cast<size_t>(rows), p.scales[0]);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c)
      Packed::put(p.data, (r % (rows / 4) * cols + c) * 8 + r / (rows / 4) * 2, p.code(r, c), 2);
  }
  p.m.packing.codes = Codes::quarters;
  p.m.packing.rows_per_scale = rows;
  p.m.packing.zero = 1;
  p.place_scales(false);
  return p;
}

/// Rows [0, w.rows), strip by strip.
std::vector<float> values(const Matrix& w) {
  std::vector<std::byte> memory(static_cast<size_t>(strip_bytes(w)) + 64);
  const auto start = reinterpret_cast<uintptr_t>(memory.data());
  std::byte* const scratch = memory.data() + (64 - start % 64);
  std::vector<float> out(static_cast<size_t>(w.rows * w.cols));
  for (int64_t first = 0; first < w.rows; first += strip_rows(w)) {
    Matrix some = w;
    select_packed_rows(some, first, std::min(strip_rows(w), w.rows - first), 1);
    const Matrix strip = unpack_strip(kernels(), some, scratch);
    for (int64_t r = 0; r < some.rows; ++r)
      kernels().dequantize_row(strip, r, out.data() + (first + r) * w.cols);
  }
  return out;
}

void expect_definition(Packed p, int64_t begin, int64_t step) {
  Matrix w = p.matrix();
  const int64_t count = (p.rows - begin + step - 1) / step;
  select_packed_rows(w, begin, count, step);
  const std::vector<float> got = values(w);
  const int32_t* const group_of = w.packing.group_of;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t c = 0; c < p.cols; ++c) {
      const int64_t r = begin + i * step;
      const int64_t g = group_of != nullptr ? group_of[c] : c / w.group_size;
      const int zero = (p.zero(r, g) + w.packing.zero) & p.most();
      const float wanted = p.scale(r, g) * static_cast<float>(p.code(r, c) - zero);
      ASSERT_NEAR(got[static_cast<size_t>(i * p.cols + c)], wanted,
                  0x1p-22F * static_cast<float>(p.most()) * std::abs(p.scale(r, g)))
          << "row " << r << " column " << c << " of " << p.bits << " bits";
    }
  }
}

TEST(Strips, integers_have_their_values_in_each_packing_whichever_rows_are_asked_for) {
  std::mt19937 random(21);
  for (const auto& [begin, step] : {std::pair{0, 1}, {8, 1}, {21, 1}, {1, 2}, {3, 5}}) {
    for (const int bits : {2, 3, 4, 8}) {
      expect_definition(gptq(96, 160, 32, bits, random), begin, step);
      expect_definition(gptq(64, 192, 192, bits, random), begin, step);
      if (bits != 3) expect_definition(by_rows(64, 160, 128, bits, random), begin, step);
    }
    expect_definition(awq(72, 256, 64, random), begin, step);
  }
}

TEST(Strips, rows_of_quarters_have_their_values_whichever_are_asked_for) {
  std::mt19937 random(24);
  for (const auto& [begin, step] : {std::pair{0, 1}, {21, 1}, {3, 5}})
    expect_definition(quarters(84, 96, random), begin, step);
}

TEST(Strips, transposed_floats_keep_every_bit_whichever_rows_are_asked_for) {
  std::mt19937 random(25);
  constexpr int64_t kRows = 70, kCols = 45;
  for (const Format format : {Format::f32, Format::f16, Format::bf16}) {
    const int64_t size = format == Format::f32 ? 4 : 2;
    std::vector<std::byte> upright(static_cast<size_t>(kRows * kCols * size)),
        lying(upright.size());
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t c = 0; c < kCols; ++c) {
        std::byte* const at = upright.data() + (r * kCols + c) * size;
        for (int64_t i = 0; i < size; ++i) at[i] = static_cast<std::byte>(random() % 0x3c);
        std::memcpy(lying.data() + (c * kRows + r) * size, at, static_cast<size_t>(size));
      }
    }
    Matrix plain;
    plain.format = format;
    plain.rows = kRows;
    plain.cols = kCols;
    plain.row_bytes = kCols * size;
    plain.data = upright.data();
    for (const auto& [begin, step] : {std::pair{0, 1}, {33, 1}, {5, 3}}) {
      Matrix w = plain;
      w.data = lying.data();
      w.packing.codes = Codes::transposed;
      w.packing.all_rows = kRows;
      select_packed_rows(w, begin, (kRows - begin + step - 1) / step, step);
      const std::vector<float> got = values(w);
      for (int64_t i = 0; i < w.rows; ++i) {
        std::vector<float> wanted(kCols);
        kernels().dequantize_row(plain, begin + i * step, wanted.data());
        ASSERT_TRUE(std::equal(wanted.begin(), wanted.end(), got.begin() + i * kCols)) << i;
      }
    }
  }
}

TEST(Strips, a_stored_zero_is_counted_from_one_and_wraps) {
  std::mt19937 random(22);
  Packed p = gptq(64, 128, 64, 4, random);
  p.m.packing.zero = 1;
  expect_definition(p, 0, 1);
}

TEST(Strips, columns_may_be_in_any_group) {
  std::mt19937 random(23);
  Packed p = gptq(64, 128, 32, 4, random);
  std::vector<int32_t> group_of(128);
  for (int32_t& g : group_of) g = static_cast<int32_t>(random() % 4);
  p.m.format = Format::f32;
  p.m.packing.group_of = group_of.data();
  expect_definition(p, 0, 1);
  expect_definition(p, 5, 3);
}

}  // namespace
}  // namespace sluice::kernels
