#include "sluice/io/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "sluice/base/error.h"

namespace sluice::io {

File::File(const std::filesystem::path& path, int flags, unsigned mode)
    : path_(path), descriptor_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
  if (descriptor_ < 0) fail_with("opened", errno);
}

File File::open(const std::filesystem::path& path) { return File(path, O_RDONLY, 0); }

File File::open_to_write(const std::filesystem::path& path) {
  return File(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0666);
}

File File::create_private(const std::filesystem::path& path) {
  return File(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

void File::fail_with(const char* what, int error) const {
  fail(ErrorKind::io, "{}: cannot be {}: {}", path_.string(), what,
       std::generic_category().message(error));
}

void File::read(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_with("read", errno);
    if (got == 0)
      fail(ErrorKind::io, "{}: ends at {}, before its tensors do", path_.string(), offset);
    out = out.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
}

void File::write(uint64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t put =
        ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) fail_with("written", put < 0 ? errno : ENOSPC);
    bytes = bytes.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
}

void File::resize(uint64_t bytes) const {
  if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) fail_with("written", errno);
}

void File::sync(bool drop) const {
  if (::fsync(descriptor_) != 0) fail_with("written", errno);
#ifdef POSIX_FADV_DONTNEED
  if (drop) ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_DONTNEED);
#else
  static_cast<void>(drop);
#endif
}

void File::expect(uint64_t offset, uint64_t bytes) const {
#ifdef POSIX_FADV_WILLNEED
  ::posix_fadvise(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(bytes),
                  POSIX_FADV_WILLNEED);
#else
  static_cast<void>(offset + bytes);
#endif
}

io::FileStamp File::stamp() const {
  const auto stamp = io::stamp_of(descriptor_);
  if (!stamp) fail_with("read", errno);
  return *stamp;
}

bool File::try_lock() const { return ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0; }

void sync_directory(const std::filesystem::path& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace sluice::io
