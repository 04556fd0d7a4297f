#include "sluice/engine/disk_cache/block_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "sluice/base/error.h"

namespace sluice::engine {
namespace {

/// So that the rename outlives a loss of power. Where a folder cannot be synced, the file is there or is not.
void sync_folder(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

BlockFile::BlockFile(std::filesystem::path path)
    : path_(std::move(path)), temporary_(path_.string() + kTemporary) {
  descriptor_ =
      ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor_ < 0) fail_with(errno);
  ::flock(descriptor_, LOCK_EX | LOCK_NB);
}

BlockFile::~BlockFile() {
  if (descriptor_ < 0) return;
  ::unlink(temporary_.c_str());
  ::close(descriptor_);
}

void BlockFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_with(n == 0 ? ENOSPC : errno);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

void BlockFile::commit() {
  if (::fsync(descriptor_) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0)
    fail_with(errno);
  ::close(descriptor_);
  descriptor_ = -1;
  sync_folder(path_.parent_path());
}

void BlockFile::remove_abandoned(const std::filesystem::path& temporary) noexcept {
  const int descriptor = ::open(temporary.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return;
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) ::unlink(temporary.c_str());
  ::close(descriptor);
}

void BlockFile::fail_with(int error) const {
  fail(ErrorKind::io, "{}: cannot be written: {}", path_.string(),
       std::generic_category().message(error));
}

}  // namespace sluice::engine
