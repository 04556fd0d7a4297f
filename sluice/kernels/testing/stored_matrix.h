#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "sluice/kernels/matrix.h"

namespace sluice::kernels {

/// Test support: a matrix that owns its bytes. They lie at odd addresses, rows have odd gaps, and the
/// last row's last byte is the allocation's last, so that a sanitizer sees every wrong read.
struct StoredMatrix {
  std::string name;
  Matrix matrix;
  std::unique_ptr<std::byte[]> data, scales, biases;

  /// Takes rows that lie back to back and moves them apart.
  void place(std::span<const std::byte> data_rows, std::span<const std::byte> scale_rows,
             std::span<const std::byte> bias_rows);
};

/// One way of storing: a format, and for MLX's the numbers that go with it.
struct Storage {
  std::string name;
  Format format = Format::f32;
  Format scale_type = Format::f32;
  int bits = 0;
  int group_size = 0;
  float global_scale = 1.0F;
};

/// Every format, affine in all bits and group sizes.
const std::vector<Storage>& all_storages();

/// Random weights of size about 1, from random codes and moderate random scales.
StoredMatrix random_matrix(const Storage& storage, int64_t rows, int64_t cols,
                           std::mt19937& random);

/// n normally distributed floats.
std::vector<float> random_floats(int64_t n, std::mt19937& random);

}  // namespace sluice::kernels
