#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/ops/linear.h"
#include "sluice/residency/store/weights.h"

namespace sluice::nn {

/// A matrix as a file stores it, before its layer has said what shape it needs.
struct StoredMatrix {
  std::string path;  ///< as the file spells it, for errors and config look-ups
  const io::TensorInfo* weight = nullptr;
  const io::TensorInfo* scales = nullptr;  ///< MLX formats
  const io::TensorInfo* biases = nullptr;  ///< affine
  int64_t expert = -1;  ///< which slice of a stack [n_experts, rows, cols]; -1: no stack
  int64_t row_begin = 0, row_step = 1;  ///< interleaved gate and up rows (gpt-oss)
};

/// What config.json says of one module's quantization.
struct QuantizationConfig {
  int64_t bits = 0, group_size = 0;
  std::string mode;
};

/// A bias per expert, or one vector: `tensor`, or slice `expert` of its rows, every row_step-th element.
struct StoredVector {
  const io::TensorInfo* tensor = nullptr;
  int64_t expert = -1;
  int64_t begin = 0, step = 1;
};

/// Everything in a model's files by the canonical path its layer asks for: mlx-lm's module paths, with
/// the experts of layer i under "model.layers.i.mlp.experts". Built by models/ for each kind of file.
struct WeightTable {
  const residency::WeightStore* store = nullptr;
  std::map<std::string, StoredMatrix, std::less<>> matrices;  ///< "...q_proj"
  std::map<std::string, std::vector<StoredMatrix>, std::less<>>
      experts;                                               ///< "...experts.gate_proj"
  std::map<std::string, StoredVector, std::less<>> vectors;  ///< "...norm.weight", "...q_proj.bias"
  std::map<std::string, std::vector<StoredVector>, std::less<>>
      expert_vectors;  ///< "...experts.gate_proj.bias"
  /// What the config says of a module's quantization, by the file's path; null: it says nothing.
  std::function<std::optional<QuantizationConfig>(const std::string& path)> quantization;
};

/// A scope within a WeightTable: w["self_attn"]["q_proj"].
class Weights {
 public:
  explicit Weights(const WeightTable& table, std::string path = "")
      : table_(&table), path_(std::move(path)) {}

  Weights operator[](std::string_view name) const;
  const std::string& path() const { return path_; }

  bool has_matrix() const { return table_->matrices.contains(path_); }
  bool has_vector(std::string_view name) const;

  /// The matrix at this path. Throws Error(bad_model) naming it unless it is there as [rows, cols].
  residency::Weight matrix(int64_t rows, int64_t cols) const;
  /// One matrix per expert.
  std::vector<residency::Weight> experts(int64_t n_experts, int64_t rows, int64_t cols) const;
  /// path.name as float32 [n]. Throws Error(bad_model) when absent or of another size.
  ops::Vector vector(std::string_view name, int64_t n) const;
  /// The same, or null when absent.
  ops::Vector optional_vector(std::string_view name, int64_t n) const;
  int64_t vector_size(std::string_view name) const;
  std::vector<ops::Vector> optional_expert_vectors(std::string_view name, int64_t n_experts,
                                                   int64_t n) const;

 private:
  ops::Vector read(const StoredVector& stored, int64_t n) const;
  const WeightTable* table_;
  std::string path_;
};

}  // namespace sluice::nn
