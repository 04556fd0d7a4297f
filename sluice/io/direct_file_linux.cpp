#include <fcntl.h>

#include "sluice/io/direct_file.h"

namespace sluice::io {

int open_direct(const std::filesystem::path& file) {
  return open(file.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
}

}  // namespace sluice::io
