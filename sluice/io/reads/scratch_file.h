#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>

#include "sluice/base/bytes.h"

namespace sluice::io {

/// A file that no name leads to: it is gone with its descriptor, however the process ends. Read and written past the
/// page cache where that can be done; so offsets, sizes and addresses are multiples of 4096. Errors are Error(io) that
/// name the folder. Any thread may read and write, at places of its own.
class ScratchFile {
 public:
  /// In `folder`, which is made when it is missing. Throws Error(bad_request) when the folder is memory (tmpfs), Error(io).
  explicit ScratchFile(const std::filesystem::path& folder);
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  void read(uint64_t offset, std::span<std::byte> out) const;
  void write(uint64_t offset, std::span<const std::byte> bytes) const;
  /// What the file system has left for us.
  Bytes free_space() const;
  bool is_direct() const { return direct_; }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  [[noreturn]] void fail_with(const char* what, int error) const;

  std::filesystem::path folder_;
  int descriptor_ = -1;
  bool direct_ = false;
};

}  // namespace sluice::io
