#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/ops/vector.h"
#include "sluice/residency/store/weights.h"

namespace sluice::nn {

/// What config.json says of one module's quantization.
struct QuantizationConfig {
  int64_t bits = 0, group_size = 0;
  std::string mode;
};

/// What quantization_config says of weights that others than MLX quantized. The tensors' types and shapes say more; here is
/// what they cannot say, and what they must agree with.
struct PublishedQuantization {
  enum class Method : uint8_t {
    none,
    fp8,
    gptq,
    awq,
    compressed_tensors,
    modelopt,
    bitsandbytes,
    bitnet
  };
  struct Scheme {
    bool is_float = false;
    int64_t bits = 0;
    int64_t group_size = 0;  ///< columns that share a scale; 0: not said, -1: all
  };
  Method method = Method::none;
  bool zeros_less_one = false;  ///< GPTQ's first version stores zeros less 1
  bool needs_order = false;     ///< each matrix says which group each of its columns is in
  bool scale_divides = false;   ///< bitnet: weights are codes divided by their scale
  int64_t block_rows = 1;       ///< rows that share a scale, in blocks of scheme.group_size columns
  std::vector<Scheme> schemes;  ///< a matrix has one of them
};

struct StoredMatrix;

/// A matrix, a table, or a matrix for each expert, that a layer asked for.
struct BoundWeight {
  enum class Use {
    matrix,   ///< multiplied with
    table,    ///< rows of it are looked up
    experts,  ///< `weights` has one per expert
  };
  Use use = Use::matrix;
  /// -1: used outside the layers
  int64_t layer = -1;
  std::string path;
  std::vector<residency::Weight> weights;
};

/// Every tensor of a model's files, raw, under the name that its layer asks for: mlx-lm's module
/// paths, with the experts of layer i under "model.layers.i.mlp.experts". What a tensor is (a
/// matrix, a stack, a vector), the asker says, by Weights. Built by models/ for each kind of file.
class WeightTable {
 public:
  explicit WeightTable(const residency::WeightStore& store) : store_(&store) {}

  /// Throws Error(bad_model) naming both when a tensor of that name is there already.
  void add(std::string name, const io::TensorInfo& tensor);

  const residency::WeightStore& store() const { return *store_; }
  /// What is named "<from>.<i>.", of layers that the files count apart, is named "<to>.<first + i>." from now on.
  void move_layers(std::string_view from, std::string_view to, int64_t first);
  /// What begins with `from` is named with `to` in its place from now on.
  void move(std::string_view from, std::string_view to);
  /// Null: not in the files. Does not count as asking for it.
  const io::TensorInfo* find(std::string_view name) const;
  /// "model-00001.safetensors: model.norm.weight", for errors.
  std::string where(const io::TensorInfo& tensor) const;

  /// In the order of asking, which is the order of use: layers are built as they run.
  const std::vector<BoundWeight>& bound() const { return bound_; }
  struct Named {
    std::string_view name;
    const io::TensorInfo* tensor;
  };
  /// What no layer asked for, in the order of names.
  std::vector<Named> left_over() const;

  /// What the config says of a module's quantization, by the file's path; null: it says nothing.
  std::function<std::optional<QuantizationConfig>(const std::string& path)> quantization;
  PublishedQuantization published;
  /// Whether the files have the floats at a path as [cols, rows], which shapes cannot tell of a square; null: none are so.
  std::function<bool(std::string_view path)> is_transposed;
  /// How many elements the rows that a projection gets are rotated by together, by its path; of others 0.
  std::map<std::string, int64_t, std::less<>> rotated_blocks;

 private:
  friend class Weights;
  struct Stored {
    const io::TensorInfo* tensor = nullptr;
    bool asked_for = false;
  };
  /// Null: not in the files. From now on it counts as asked for.
  const io::TensorInfo* take(std::string_view name);
  bool asked_for(std::string_view name) const;
  /// (from, to), of tensors that are there.
  void rename(const std::vector<std::pair<std::string, std::string>>& names);
  /// The matrix at the path, however it is stored; none when absent.
  std::optional<StoredMatrix> take_matrix(const std::string& path);
  residency::Weight bind(const StoredMatrix& stored, int64_t rows, int64_t cols) const;

  const residency::WeightStore* store_;
  std::map<std::string, Stored, std::less<>> tensors_;
  std::vector<BoundWeight> bound_;
};

/// A scope within a WeightTable: w["self_attn"]["q_proj"]. The asker says what it wants there, and
/// gets it or Error(bad_model) that names file and tensor, got and wanted.
class Weights {
 public:
  explicit Weights(WeightTable& table) : table_(&table) {}

  Weights operator[](std::string_view name) const;
  /// The scope "<path>.<i>": what is bound in it is needed when layer i runs.
  Weights layer(int64_t i) const;
  /// This scope, of what is needed before the first layer runs.
  Weights before_layers() const { return Weights(*table_, path_, 0); }
  const std::string& path() const { return path_; }
  int64_t rotated_block() const {
    const auto it = table_->rotated_blocks.find(path_);
    return it == table_->rotated_blocks.end() ? 0 : it->second;
  }

  /// Whether the files have path.leaf; a weight may be the tensor at the path itself, or packed.
  bool has(std::string_view leaf = "weight") const;
  /// Of path.leaf, outermost first; empty when absent.
  std::span<const int64_t> shape(std::string_view leaf = "weight") const;

  /// path.weight as [rows, cols], quantized where the files have scales beside it; a vector is a
  /// matrix of one row.
  residency::Weight matrix(int64_t rows, int64_t cols) const;
  /// [n, rows, cols], one above the other as [n * rows, cols].
  residency::Weight matrices(int64_t n, int64_t rows, int64_t cols) const;
  /// matrix(), for a table of which rows are looked up.
  residency::Weight table(int64_t rows, int64_t cols) const;
  /// A [rows, cols] matrix for each of n: path.name.weight as [n, rows, cols], or
  /// path.<i>.name.weight each; floats may also stand below each other, [n * rows, cols].
  std::vector<residency::Weight> stack(std::string_view name, int64_t n, int64_t rows,
                                       int64_t cols) const;

  /// The tensor at the path itself as float32, row by row. Null when absent.
  ops::Vector optional_tensor(std::span<const int64_t> shape) const;
  ops::Vector tensor(std::span<const int64_t> shape) const;
  ops::Vector optional_vector(int64_t n) const { return optional_tensor({{n}}); }
  ops::Vector vector(int64_t n) const { return tensor({{n}}); }
  /// n values at the path, in whatever shape.
  ops::Vector values(int64_t n) const;
  /// What is at the path is known, and of no use.
  void pass_over() const;
  /// A vector for each of n: path.name as [n, length], or path.<i>.name each. None when absent.
  std::vector<ops::Vector> optional_vectors(std::string_view name, int64_t n, int64_t length) const;

 private:
  Weights(WeightTable& table, std::string path, int64_t layer)
      : table_(&table), path_(std::move(path)), layer_(layer) {}
  std::string child(std::string_view name) const;
  residency::Weight bind(BoundWeight::Use use, int64_t rows, int64_t cols,
                         bool is_stack = false) const;
  ops::Vector read(const io::TensorInfo& tensor, std::span<const int64_t> shape) const;

  WeightTable* table_;
  std::string path_;
  int64_t layer_ = -1;
};

/// The elements begin, begin + step, ... of a vector; null of null.
ops::Vector part(const ops::Vector& whole, int64_t begin, int64_t n, int64_t step = 1);

}  // namespace sluice::nn
