#include "sluice/io/file_stamp.h"

namespace sluice::io {

FileStamp stamp_of(const struct stat& status) {
  return {static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino),
          static_cast<uint64_t>(status.st_size), modification_ns(status)};
}

std::optional<FileStamp> stamp_of(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return std::nullopt;
  return stamp_of(status);
}

std::string changed_while_in_use(const std::string& name) {
  return name + ": was written to while in use; load the model again";
}

}  // namespace sluice::io
