#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "sluice/base/bytes.h"

namespace sluice::engine {

/// Where the disk cache lies: `index.db`, `blocks/` with a file for each block, and `quarantine/` with the last of
/// those that were damaged, for whoever wants to know why. Its owner alone may look into it (0700): what the files hold
/// tells prompts. Any number of processes may use it.
class CacheFolder {
 public:
  /// Makes what is missing. Throws Error(io) where it cannot be made or written, or belongs to somebody else.
  explicit CacheFolder(std::filesystem::path root);

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path index() const { return root_ / "index.db"; }
  /// Throws Error(internal) unless is_block_name().
  std::filesystem::path block(std::string_view name) const;

  /// A name that no file has: 32 random hexadecimal digits.
  static std::string new_name();
  static bool is_block_name(std::string_view name);

  /// These pass over what they cannot do: a file that stays is found again by sweep().
  void remove(std::string_view name) const noexcept;
  void quarantine(std::string_view name) const noexcept;
  void quarantine_index() const noexcept;

  /// Removes files that the index does not know, and what processes that died left half-written. Young files stay:
  /// another process may be about to enter them.
  void sweep(const std::function<bool(std::string_view name)>& is_known) const;
  /// Removes all blocks and what is in quarantine.
  void clear() const;

  /// On the file system; 0 when it cannot be told.
  Bytes free_space() const noexcept;

 private:
  std::filesystem::path blocks() const { return root_ / "blocks"; }
  std::filesystem::path damaged() const { return root_ / "quarantine"; }
  void move_to_quarantine(const std::filesystem::path& file) const noexcept;

  std::filesystem::path root_;
};

}  // namespace sluice::engine
