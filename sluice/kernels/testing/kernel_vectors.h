#pragma once

#include <string>
#include <vector>

#include "sluice/kernels/testing/stored_matrix.h"

namespace sluice::kernels {

/// Test support: a stored matrix with the values that a reference package reads from it.
struct KernelVector {
  StoredMatrix stored;
  std::vector<float> expected;  ///< [rows, cols]
};

/// Reads what tools/make_kernel_vectors.py wrote. Throws Error(io).
std::vector<KernelVector> read_kernel_vectors(const std::string& path);

}  // namespace sluice::kernels
