#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::kernels {

/// One token's activations rounded to 8 bits: x[k] is about (q[k] + 128 high[k]) * scale[k / 32], both in [-127, 127].
/// scale is the largest magnitude of the 32 over 127, and all high[k] are 0; but where few elements of a group are
/// far above the others, scale is a smaller one, and those have a high part (KernelTable::quantize). Kept beside it for the
/// weights' offsets, per group of 32 and per group of 16: the sum of q + 128 high, and that sum times the scale. Columns
/// beyond `cols` are zeros. This is where each of the parts lies in a row of bytes().
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
  /// Start of high: int8 [padded_cols].
  constexpr int64_t high_offset() const { return padded_cols() + 12 * (groups(32) + groups(16)); }
  /// Start of a byte per group of 32: bit i is set where one of columns 4 i to 4 i + 3 of the group has a high part.
  constexpr int64_t wide_offset() const { return high_offset() + padded_cols(); }
  /// A multiple of 64.
  constexpr int64_t bytes() const { return wide_offset() + (groups(32) + 63) / 64 * 64; }

  /// What matmul_int8 needs beside its operands: sixteen tokens' activations in the order of its codes, or 32 unpacked
  /// rows with their scales and biases.
  constexpr int64_t scratch_bytes() const {
    const int64_t tokens = 16 * ((cols + 511) / 512 * 1408 + (cols + 16383) / 16384 * 64);
    const int64_t rows = 32 * (padded_cols() + 8 * groups(16));
    return tokens > rows ? tokens : rows;
  }
};

}  // namespace sluice::kernels
