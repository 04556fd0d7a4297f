#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::kernels {

/// One token's activations rounded to 8 bits: x[k] is about q[k] * scale[k / 32], q in [-127, 127], where scale is the
/// largest magnitude of the 32 over 127. Kept beside it for the weights' offsets, per group of 32 and per
/// group of 16: the sum of the q, and that sum times the scale. Columns beyond `cols` are zeros.
/// This is where each of the parts lies in a row of bytes().
struct Int8Row {
  int64_t cols = 0;

  static constexpr int64_t kGroup = 32;

  constexpr int64_t padded_cols() const { return (cols + 63) / 64 * 64; }
  /// Entries of a per-group array, a multiple of 16.
  constexpr int64_t groups(int64_t group) const { return (padded_cols() / group + 15) / 16 * 16; }
  /// Start of the arrays for groups of `group` (32 or 16) columns: scale (float), sum (int32), scaled sum (float).
  constexpr int64_t group_offset(int64_t group) const {
    return padded_cols() + (group == 32 ? 0 : 12 * groups(32));
  }
  /// A multiple of 64.
  constexpr int64_t bytes() const { return padded_cols() + 12 * (groups(32) + groups(16)); }

  /// What matmul_int8 needs beside its operands: 32 unpacked rows with their scales and biases.
  constexpr int64_t scratch_bytes() const { return 32 * (padded_cols() + 8 * groups(16)); }
};

}  // namespace sluice::kernels
