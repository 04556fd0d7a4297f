#pragma once

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace sluice::io {

/// A file mapped read-only. If the file is truncated by somebody else while mapped, reading the lost part
/// yields zeros instead of a SIGBUS, and truncated() turns true: the reader of the bytes must check it
/// before it trusts what it computed. Not movable: the signal handler knows its address.
class MappedFile {
 public:
  /// Throws Error(io) when the file cannot be opened or mapped, Error(bad_model) when it is empty.
  /// The mapping is preceded by at least 8 readable bytes (mlx::core::allocator::Buffer::raw_ptr skips
  /// an 8-byte header, so arrays that alias the first byte need them).
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }
  bool truncated() const { return truncated_.load(std::memory_order_acquire); }

 private:
  friend struct MappedFileRegistry;
  MappedFile() = default;
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
  std::span<std::byte> reserved_;  // the whole address range, guard page in front included
  std::atomic<bool> truncated_{false};
};

}  // namespace sluice::io
