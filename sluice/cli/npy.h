#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace sluice::cli {

/// Writes a float32 [rows, cols] array as NumPy's .npy (format version 1.0), row by row, to a temporary
/// file beside the target that replaces it only when all is there and synced.
class NpyWriter {
 public:
  /// Throws Error(io).
  NpyWriter(const std::string& path, size_t rows, size_t cols);
  ~NpyWriter();
  NpyWriter(const NpyWriter&) = delete;
  NpyWriter& operator=(const NpyWriter&) = delete;

  void write(std::span<const float> row);
  void finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_, temporary_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace sluice::cli
