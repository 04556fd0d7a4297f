#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "sluice/kernels/matrix.h"

namespace sluice::residency {

/// Where in one of the model's files something begins.
struct FilePlace {
  size_t file = 0;
  uint64_t offset = 0;
  friend auto operator<=>(const FilePlace&, const FilePlace&) = default;
};

/// A weight matrix, known by where its file stores it. `matrix` says how to read it; its pointers are
/// filled in only while the bytes are in memory.
struct Weight {
  kernels::Matrix matrix;
  FilePlace data;
  FilePlace scales;  ///< MLX formats, packed ones
  FilePlace biases;  ///< affine; packed: zeros
  std::shared_ptr<const std::vector<int32_t>>
      group_of;  ///< what matrix.packing.group_of points to, or null

  int64_t rows() const { return matrix.rows; }
  int64_t cols() const { return matrix.cols; }

  /// The `count` rows begin, begin + step, ... of this one: a fused projection's parts, or one half of
  /// interleaved gate and up rows. They are all there.
  Weight select_rows(int64_t begin, int64_t count, int64_t step = 1) const;

  /// `matrix` with its pointers: address(place) says where a place of the files is in memory.
  template <class Address>
  kernels::Matrix at(Address&& address) const {
    kernels::Matrix m = matrix;
    m.data = address(data);
    if (m.scale_row_bytes != 0) m.scales = address(scales);
    if (kernels::has_biases(m)) m.biases = address(biases);
    return m;
  }
};

}  // namespace sluice::residency
