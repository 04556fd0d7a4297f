#pragma once

#include <sys/stat.h>

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace sluice::io {

/// When the file was last written to, since 1970.
int64_t modification_ns(const struct stat& status);

/// What changes when somebody writes to a file. Not its status's own time (ctime): another file's
/// being renamed over it changes that, and harms nobody who has it open.
struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t bytes = 0;
  int64_t modified_ns = 0;
  friend auto operator<=>(const FileStamp&, const FileStamp&) = default;
};

FileStamp stamp_of(const struct stat& status);
/// The open file as it is now, whatever its path names today; nullopt when the system cannot say.
std::optional<FileStamp> stamp_of(int descriptor);

/// The line that says that a file's stamp is not what it was.
std::string changed_while_in_use(const std::string& name);

}  // namespace sluice::io
