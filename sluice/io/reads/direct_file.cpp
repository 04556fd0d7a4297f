#include "sluice/io/reads/direct_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <system_error>

#include "sluice/base/error.h"
#include "sluice/io/reads/aligned_span.h"

namespace sluice::io {
namespace {

/// Some systems open a file for direct reads and refuse the reads: overlays, devices with larger blocks.
bool direct_read_works(int descriptor) {
  alignas(kDirectAlignment) std::array<std::byte, kDirectAlignment> page;
  return ::pread(descriptor, page.data(), page.size(), 0) >= 0;
}

}  // namespace

DirectFile::DirectFile(const std::filesystem::path& path, Cache cache) {
  // First without O_DIRECT and with O_NONBLOCK: a FIFO must be an error, not a wait.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) {
    const std::string reason = std::generic_category().message(errno);
    if (descriptor_ >= 0) ::close(descriptor_);
    fail(ErrorKind::io, "{}: cannot be opened: {}", path.string(), reason);
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    fail(ErrorKind::io, "{}: is not a regular file", path.string());
  }
  // io_uring answers EAGAIN for non-blocking files whose bytes are not in the cache.
  ::fcntl(descriptor_, F_SETFL, 0);
  if (cache == Cache::use) return;
  int direct = open_direct(path);
  if (direct < 0) return;
  struct stat same {};
  // The path may name another file by now; then the first one is kept, and its length is checked next.
  direct_ = ::fstat(direct, &same) == 0 && same.st_ino == status.st_ino &&
            same.st_dev == status.st_dev && direct_read_works(direct);
  if (direct_) std::swap(descriptor_, direct);
  ::close(direct);
}

DirectFile::~DirectFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace sluice::io
