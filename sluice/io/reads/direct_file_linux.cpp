#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "sluice/io/reads/direct_file.h"

namespace sluice::io {

int open_direct(const std::filesystem::path& file) {
  return open(file.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
}

int open_nameless(const std::filesystem::path& folder) {
  return open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

bool bypass_cache(int descriptor) {
  const int flags = fcntl(descriptor, F_GETFL);
  return flags >= 0 && fcntl(descriptor, F_SETFL, flags | O_DIRECT) == 0;
}

bool is_in_memory(int descriptor) {
  struct statfs status {};
  if (fstatfs(descriptor, &status) != 0) return false;
  const auto type = static_cast<uint32_t>(status.f_type);
  return type == TMPFS_MAGIC || type == RAMFS_MAGIC;
}

void drop_cached(int descriptor, uint64_t offset, uint64_t bytes) {
  // Advice: when it is refused, the page cache holds the bytes a while longer.
  (void)posix_fadvise(descriptor, static_cast<off_t>(offset), static_cast<off_t>(bytes),
                      POSIX_FADV_DONTNEED);
}

int64_t modification_ns(const struct stat& status) {
  return int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

}  // namespace sluice::io
