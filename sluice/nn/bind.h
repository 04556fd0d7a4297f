#pragma once

#include <functional>
#include <optional>
#include <string>

#include "sluice/io/formats/tensor_index.h"
#include "sluice/nn/weights.h"

namespace sluice::nn {

/// A matrix as its file stores it, or one expert's in a stack of them.
struct StoredMatrix {
  const io::TensorInfo* weight = nullptr;
  const io::TensorInfo* scales = nullptr;  ///< where they lie apart
  const io::TensorInfo* biases = nullptr;  ///< affine; of packed ones the zeros
  const io::TensorInfo* groups =
      nullptr;  ///< which group each column is in, where the file says it
  const io::TensorInfo* global = nullptr;  ///< one number for all scales
  int64_t expert = -1;                     ///< slice of [n_experts, rows, cols]; -1: no slice
  int64_t n_below =
      0;  ///< slices that stand below each other, [n * rows, cols]; 0: [n, rows, cols]
  bool is_stack = false;       ///< [n, rows, cols], to be taken for [n * rows, cols]
  bool is_transposed = false;  ///< floats of [cols, rows]
  std::string where;           ///< begins every error
};

/// The tensors that are a matrix at a path, by the endings of their names; `weight` null: there is none. take(name) is the
/// tensor of that name, or null.
StoredMatrix find_stored(const std::string& path,
                         const std::function<const io::TensorInfo*(const std::string&)>& take);

/// The kernel format of a tensor that needs no scales beside it; nullopt: not a weight we can
/// multiply with.
std::optional<kernels::Format> plain_format(io::TensorType type);

/// What binding needs to know beside the tensors' shapes.
struct Binding {
  int64_t rows = 0, cols = 0;
  std::optional<QuantizationConfig> told;  ///< what config.json says of the module's quantization
  const PublishedQuantization* published = nullptr;  ///< and of all that others than MLX quantized
  const residency::WeightStore* store = nullptr;     ///< for the few numbers that are not weights
};

/// The stored matrix as [rows, cols]. Throws Error(bad_model) when it is not that, and when the
/// config says other bits or groups than the tensors hold; Error(unsupported) for formats that have
/// no kernel.
residency::Weight bind_matrix(const StoredMatrix& stored, const Binding& wanted);

/// bind_matrix() for what others than MLX and GGUF quantized; none where it is not that.
std::optional<residency::Weight> bind_published(const StoredMatrix& stored, const Binding& wanted);

/// The number beside the matrix, of a stack beside its expert, that multiplies all scales. Throws Error(bad_model).
float global_scale(const StoredMatrix& stored, const Binding& wanted);

/// Rows, and what is in one of them, of a stored matrix's tensor.
struct StoredRows {
  int64_t n = 0, elements = 0;
};
StoredRows rows_of(const StoredMatrix& stored, const io::TensorInfo& tensor);
residency::FilePlace place_of(const StoredMatrix& stored, const io::TensorInfo& tensor);

}  // namespace sluice::nn
