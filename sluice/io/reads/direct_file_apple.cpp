#include <fcntl.h>
#include <unistd.h>

#include "sluice/io/reads/direct_file.h"

namespace sluice::io {

int open_direct(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0 && fcntl(fd, F_NOCACHE, 1) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

int open_nameless(const std::filesystem::path&) { return -1; }

bool bypass_cache(int descriptor) { return fcntl(descriptor, F_NOCACHE, 1) == 0; }

bool is_in_memory(int) { return false; }

void drop_cached(int, uint64_t, uint64_t) {}  // F_NOCACHE did not put them there

int64_t modification_ns(const struct stat& status) {
  return int64_t{status.st_mtimespec.tv_sec} * 1'000'000'000 + status.st_mtimespec.tv_nsec;
}

}  // namespace sluice::io
