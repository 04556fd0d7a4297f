#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "sluice/kernels/isa/tables.h"
#include "sluice/kernels/kernels.h"
#include "sluice/kernels/strips.h"
#include "sluice/kernels/testing/kernel_vectors.h"

namespace sluice::kernels {
namespace {

/// Equal bits (a zero's sign counts), or both NaN.
bool same(float a, float b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b));
}

/// A row, by way of a strip where kernels do not read it as it lies.
void dequantize(const Matrix& m, int64_t row, float* out) {
  if (!needs_strips(m)) return kernels().dequantize_row(m, row, out);
  Matrix one = m;
  one.data += row * m.row_bytes;
  one.rows = 1;
  std::vector<std::byte> scratch(static_cast<size_t>(strip_bytes(m)));
  kernels().dequantize_row(unpack_strip(kernels(), one, scratch.data()), 0, out);
}

TEST(Dequantize, every_format_reads_as_the_reference_package_reads_it) {
  for (const KernelVector& vector : read_kernel_vectors(SLUICE_KERNEL_VECTORS)) {
    const Matrix& m = vector.stored.matrix;
    std::vector<float> row(static_cast<size_t>(m.cols));
    int64_t wrong = 0;
    for (int64_t r = 0; r < m.rows; ++r) {
      dequantize(m, r, row.data());
      for (int64_t c = 0; c < m.cols; ++c) {
        const float got = row[static_cast<size_t>(c)];
        const float wanted = vector.expected[static_cast<size_t>(r * m.cols + c)];
        if (same(got, wanted)) continue;
        if (++wrong < 4) {
          ADD_FAILURE() << vector.stored.name << " [" << r << ", " << c << "] is " << got
                        << ", the reference has " << wanted;
        }
      }
    }
    EXPECT_EQ(wrong, 0) << vector.stored.name;
  }
}

TEST(Dequantize, a_row_is_the_same_whatever_its_stride) {
  std::mt19937 random(7);
  for (const Storage& storage : all_storages()) {
    const StoredMatrix stored = random_matrix(storage, 6, 512, random);
    Matrix every_second = stored.matrix;
    every_second.rows = 3;
    every_second.row_bytes *= 2;
    every_second.scale_row_bytes *= 2;
    std::vector<float> a(512), b(512);
    kernels().dequantize_row(stored.matrix, 4, a.data());
    kernels().dequantize_row(every_second, 2, b.data());
    EXPECT_EQ(a, b) << storage.name;
  }
}

TEST(Dequantize, weights_have_the_same_bits_in_every_instruction_set) {
  std::mt19937 random(8);
  for (const Storage& storage : all_storages()) {
    const StoredMatrix stored = random_matrix(storage, 2, 768, random);
    std::vector<float> a(768), b(768);
    kernels().dequantize_row(stored.matrix, 1, a.data());
    portable_table.dequantize_row(stored.matrix, 1, b.data());
    EXPECT_EQ(std::memcmp(a.data(), b.data(), 768 * sizeof(float)), 0) << storage.name;
  }
}

}  // namespace
}  // namespace sluice::kernels
