#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

#include "sluice/io/file.h"

namespace sluice::engine {

/// Writes a block's file, for its owner alone (0600), that is there whole or not at all: a temporary one beside it,
/// synced, renamed, and the folder synced. While it lives the temporary file is locked: one that is not locked is
/// of a process that died.
class BlockFile {
 public:
  static constexpr const char* kTemporary = ".partial";

  /// Throws Error(io).
  explicit BlockFile(std::filesystem::path path);
  /// Removes the temporary file unless it was committed.
  ~BlockFile();
  BlockFile(const BlockFile&) = delete;
  BlockFile& operator=(const BlockFile&) = delete;

  /// Throws Error(io): the disk is full, a limit was reached.
  void append(std::span<const std::byte> bytes);
  /// Throws Error(io); then there is no file.
  void commit();

  /// Removes a temporary file whose writer has died.
  static void remove_abandoned(const std::filesystem::path& temporary) noexcept;

 private:
  std::filesystem::path path_;
  std::optional<io::File> temporary_;  ///< until it was committed
  uint64_t bytes_ = 0;
};

}  // namespace sluice::engine
