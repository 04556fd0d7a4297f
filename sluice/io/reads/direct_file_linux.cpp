#include <fcntl.h>

#include "sluice/io/reads/direct_file.h"

namespace sluice::io {

int open_direct(const std::filesystem::path& file) {
  return open(file.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
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
