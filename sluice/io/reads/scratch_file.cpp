#include "sluice/io/reads/scratch_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "sluice/base/error.h"
#include "sluice/io/reads/direct_file.h"

namespace sluice::io {
namespace {

/// A file whose name is gone at once. -1 with errno set.
int open_unlinked(const std::filesystem::path& folder) {
  std::string name = (folder / ".sluice-XXXXXX").string();
  const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);  // 0600
  if (descriptor >= 0) ::unlink(name.c_str());
  return descriptor;
}

}  // namespace

ScratchFile::ScratchFile(const std::filesystem::path& folder) : folder_(folder) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) fail_with("made", error.value());
  descriptor_ = open_nameless(folder_);
  if (descriptor_ < 0) descriptor_ = open_unlinked(folder_);
  if (descriptor_ < 0) fail_with("written to", errno);
  if (is_in_memory(descriptor_)) {
    ::close(descriptor_);
    fail(ErrorKind::bad_request, "{}: lies in memory; name a folder on a disk", folder_.string());
  }
  direct_ = bypass_cache(descriptor_);
}

ScratchFile::~ScratchFile() { ::close(descriptor_); }

void ScratchFile::fail_with(const char* what, int error) const {
  fail(ErrorKind::io, "{}: cannot be {}: {}", folder_.string(), what,
       std::generic_category().message(error));
}

void ScratchFile::read(uint64_t offset, std::span<std::byte> out) const {
  const uint64_t first = offset, n = out.size();
  while (!out.empty()) {
    const ssize_t got = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_with("read from", errno);
    if (got == 0)
      fail(ErrorKind::io, "{}: a file there ends at {}, which was longer", folder_.string(),
           offset);
    out = out.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  if (!direct_) drop_cached(descriptor_, first, n);
}

void ScratchFile::write(uint64_t offset, std::span<const std::byte> bytes) const {
  const uint64_t first = offset, n = bytes.size();
  while (!bytes.empty()) {
    const ssize_t put =
        ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) fail_with("written to", put < 0 ? errno : ENOSPC);
    bytes = bytes.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
  if (direct_) return;
  if (::fsync(descriptor_) != 0) fail_with("written to", errno);
  drop_cached(descriptor_, first, n);
}

Bytes ScratchFile::free_space() const {
  struct statvfs status {};
  if (::fstatvfs(descriptor_, &status) != 0) fail_with("examined", errno);
  return {static_cast<uint64_t>(status.f_bavail) * status.f_frsize};
}

}  // namespace sluice::io
