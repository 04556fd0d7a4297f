#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/io/mapped_file.h"
#include "sluice/io/tensor_index.h"
#include "sluice/kernels/matrix.h"

namespace sluice::residency {

/// A run of bytes in one of the model's files.
struct Extent {
  size_t file = 0;
  uint64_t offset = 0;
};

/// A weight matrix, known by where its file stores it. `matrix` says how to read it; its pointers are
/// filled in by WeightStore::acquire only, while the bytes are in memory.
struct Weight {
  kernels::Matrix matrix;
  Extent data;
  Extent scales;  ///< MLX formats
  Extent biases;  ///< affine
  std::string name;

  int64_t rows() const { return matrix.rows; }
  int64_t cols() const { return matrix.cols; }

  /// The `count` rows begin, begin + step, ... of this one: a fused projection's parts, or one half of
  /// interleaved gate and up rows. Throws Error(bad_model) when they are not all there.
  Weight select_rows(int64_t begin, int64_t count, int64_t step = 1) const;
};

/// How weights get into memory.
enum class LoadMode {
  map,  ///< the files' pages, shared with the system's cache: nothing is copied
  copy,  ///< memory of our own, read when the model opens: for file systems that cannot map, and to compare
};

/// Holds a model's bytes. The only holder of model file mappings above io.
class WeightStore {
 public:
  /// Maps the files that are not mapped yet (`mappings` may hold those of a GGUF, in index order).
  /// Throws Error(io) when a file cannot be read, Error(over_budget) when there is no memory for a copy.
  explicit WeightStore(io::TensorIndex index, LoadMode mode = LoadMode::map,
                       std::vector<std::shared_ptr<const io::MappedFile>> mappings = {});

  const io::TensorIndex& index() const { return index_; }

  /// The view kernels read. Valid as long as the store lives.
  kernels::Matrix acquire(const Weight& weight) const noexcept;

  /// The bytes of a small tensor (a norm's weights, a bias).
  std::span<const std::byte> bytes(const io::TensorInfo& tensor) const noexcept;

  /// Throws Error(io) when a file was truncated since it was mapped: what was computed from it is void.
  void check_intact() const;

 private:
  io::TensorIndex index_;
  std::vector<std::shared_ptr<const io::MappedFile>> mappings_;
  std::vector<std::vector<std::byte>> copies_;     // LoadMode::copy
  std::vector<std::span<const std::byte>> files_;  // what weights are read from, one per file
};

}  // namespace sluice::residency
