#include "sluice/engine/disk_cache/block_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "sluice/base/error.h"

namespace sluice::engine {

BlockFile::BlockFile(std::filesystem::path path)
    : path_(std::move(path)), temporary_(io::File::create_private(path_.string() + kTemporary)) {
  (void)temporary_->try_lock();
}

BlockFile::~BlockFile() {
  if (temporary_) ::unlink(temporary_->path().c_str());
}

void BlockFile::append(std::span<const std::byte> bytes) {
  temporary_->write(bytes_, bytes);
  bytes_ += bytes.size();
}

void BlockFile::commit() {
  temporary_->sync();
  if (::rename(temporary_->path().c_str(), path_.c_str()) != 0) {
    fail(ErrorKind::io, "{}: cannot be written: {}", path_.string(),
         std::generic_category().message(errno));
  }
  temporary_.reset();
  io::sync_directory(path_.parent_path());
}

void BlockFile::remove_abandoned(const std::filesystem::path& temporary) noexcept {
  const int descriptor = ::open(temporary.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return;
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) ::unlink(temporary.c_str());
  ::close(descriptor);
}

}  // namespace sluice::engine
