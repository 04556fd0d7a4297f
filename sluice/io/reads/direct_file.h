#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>

#include "sluice/io/file_stamp.h"

namespace sluice::io {

/// Opens a file for reads that bypass the page cache: O_DIRECT on Linux, F_NOCACHE on macOS. -1 when it
/// cannot be done. Offsets, lengths and addresses must then be multiples of 4096.
int open_direct(const std::filesystem::path& file);

/// Makes a file in `folder` that never has a name, for its owner alone to read and write. -1 where the system or the file
/// system has no such files.
int open_nameless(const std::filesystem::path& folder);

/// Has an open file's reads and writes bypass the page cache likewise. False when it cannot be done.
bool bypass_cache(int descriptor);
/// Whether an open file's bytes are memory, as on tmpfs.
bool is_in_memory(int descriptor);

/// Tells the system that these bytes, read through its cache, are not needed there any more.
void drop_cached(int descriptor, uint64_t offset, uint64_t bytes);

/// A file open for positioned reads, past the page cache if it can be. Move-only.
class DirectFile {
 public:
  enum class Cache { bypass, use };

  /// Cache::bypass falls back to Cache::use where the file system or the device refuses; is_direct()
  /// says so. Throws Error(io) when it cannot be opened or is no regular file.
  DirectFile(const std::filesystem::path& path, Cache cache);
  ~DirectFile();
  DirectFile(DirectFile&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), direct_(other.direct_) {}
  DirectFile& operator=(DirectFile&&) = delete;

  int descriptor() const { return descriptor_; }
  bool is_direct() const { return direct_; }

  /// The open file as it is now, whatever its path names today; nullopt when the system cannot say.
  std::optional<FileStamp> stamp() const { return stamp_of(descriptor_); }

 private:
  int descriptor_ = -1;
  bool direct_ = false;
};

}  // namespace sluice::io
