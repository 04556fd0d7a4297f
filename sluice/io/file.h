#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "sluice/io/file_stamp.h"

namespace sluice::io {

/// An open file, read and written at places. Errors are Error(io) that name it. Move-only.
class File {
 public:
  static File open(const std::filesystem::path& path);
  /// Made where it is not there; what is in it stays. A symbolic link is not followed.
  static File open_to_write(const std::filesystem::path& path);
  /// For its owner alone; it must not be there.
  static File create_private(const std::filesystem::path& path);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) = delete;

  void read(uint64_t offset, std::span<std::byte> out) const;
  void write(uint64_t offset, std::span<const std::byte> bytes) const;
  void resize(uint64_t bytes) const;
  /// To the disk. drop: its pages then leave the system's cache.
  void sync(bool drop = false) const;
  /// The system may begin to read this.
  void expect(uint64_t offset, uint64_t bytes) const;
  /// Whether its lock is ours until it is closed; false when another process has it.
  bool try_lock() const;
  io::FileStamp stamp() const;
  const std::filesystem::path& path() const { return path_; }

 private:
  File(const std::filesystem::path& path, int flags, unsigned mode);
  [[noreturn]] void fail_with(const char* what, int error) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// Has names that were created or renamed in a directory survive a loss of power, where the file system can.
void sync_directory(const std::filesystem::path& directory);

}  // namespace sluice::io
