#include <fcntl.h>
#include <unistd.h>

#include "sluice/io/direct_file.h"

namespace sluice::io {

int open_direct(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0 && fcntl(fd, F_NOCACHE, 1) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

}  // namespace sluice::io
