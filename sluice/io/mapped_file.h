#pragma once

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

#include "sluice/io/file_stamp.h"

namespace sluice::io {

/// A file mapped read-only. If somebody else writes to it or truncates it while it is mapped,
/// changed() turns true: the reader of the bytes must ask before it trusts what it computed.
/// Reading a part that was lost yields zeros instead of a SIGBUS; a read error of the disk counts
/// as a change. Not movable: the signal handler knows its address.
class MappedFile {
 public:
  /// Throws Error(io) when the file cannot be opened or mapped or is no regular file, Error(bad_model)
  /// when it is empty.
  /// The mapping is preceded by at least 8 readable bytes (mlx::core::allocator::Buffer::raw_ptr skips
  /// an 8-byte header, so arrays that alias the first byte need them).
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }

  /// Reads the whole file into `out` (as long as bytes()) without touching the mapping's pages.
  /// Throws Error(io) when it cannot all be read.
  void read(std::span<std::byte> out) const;
  /// Whether little of it will be touched, here and there: then a touch brings in few pages. Not so at first.
  void expect_few_touches(bool few) const;
  /// Pages that were touched so far no longer count as this process's memory; they come back when touched.
  void release_pages() const;
  /// True for ever once bytes may have changed. Costs one fstat.
  bool changed() const;

 private:
  MappedFile() = default;
  std::filesystem::path path_;
  int descriptor_ = -1;
  FileStamp stamp_;  // when it was opened
  std::span<const std::byte> bytes_;
  std::span<std::byte> reserved_;  // the whole address range, the readable page in front included
  size_t registration_ = 0;        // the signal handler's slot, plus 1
  mutable std::atomic<bool> changed_{false};  // also set by the signal handler
};

}  // namespace sluice::io
