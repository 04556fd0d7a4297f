#pragma once

#include <span>
#include <string>

#include "sluice/base/atomic_file.h"

namespace sluice::cli {

/// Writes a float32 [rows, cols] array as NumPy's .npy (format version 1.0), row by row.
class NpyWriter {
 public:
  /// Throws Error(io), as all here.
  NpyWriter(const std::string& path, size_t rows, size_t cols);

  void write(std::span<const float> row);
  /// Puts the file into its place; without it there is none.
  void finish() { file_.commit(); }

 private:
  AtomicFile file_;
};

}  // namespace sluice::cli
