#pragma once

#include <optional>
#include <string>

#include "sluice/io/formats/tensor_index.h"
#include "sluice/nn/weights.h"

namespace sluice::nn {

/// A matrix as its file stores it, or one expert's in a stack of them.
struct StoredMatrix {
  const io::TensorInfo* weight = nullptr;
  const io::TensorInfo* scales = nullptr;  ///< MLX formats
  const io::TensorInfo* biases = nullptr;  ///< affine
  int64_t expert = -1;                     ///< slice of [n_experts, rows, cols]; -1: no slice
  bool is_stack = false;                   ///< [n, rows, cols], to be taken for [n * rows, cols]
  std::string where;                       ///< begins every error
};

/// The kernel format of a tensor that needs no scales beside it; nullopt: not a weight we can
/// multiply with.
std::optional<kernels::Format> plain_format(io::TensorType type);

/// The stored matrix as [rows, cols]. Throws Error(bad_model) when it is not that, and when the
/// config says other bits or groups than the tensors hold; Error(unsupported) for formats that have
/// no kernel.
residency::Weight bind_matrix(const StoredMatrix& stored, int64_t rows, int64_t cols,
                              const std::optional<QuantizationConfig>& config);

}  // namespace sluice::nn
