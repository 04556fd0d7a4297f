#include "sluice/cli/npy.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sluice/base/error.h"

namespace sluice::cli {

NpyWriter::NpyWriter(const std::string& path, size_t rows, size_t cols)
    : path_(path),
      temporary_(fmt::format("{}.{}.partial", path, getpid())),
      file_(std::fopen(temporary_.c_str(), "wb")) {
  if (!file_) fail(ErrorKind::io, "{}: cannot be written: {}", path_, std::strerror(errno));
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  constexpr size_t kPrefix = 10;  // magic, version, 16-bit header length
  header.append(63 - (kPrefix + header.size()) % 64, ' ');
  header += '\n';
  const auto length = static_cast<uint16_t>(header.size());
  const char prefix[kPrefix] = {'\x93',
                                'N',
                                'U',
                                'M',
                                'P',
                                'Y',
                                1,
                                0,
                                static_cast<char>(length & 0xFF),
                                static_cast<char>(length >> 8)};
  std::fwrite(prefix, 1, kPrefix, file_.get());
  std::fwrite(header.data(), 1, header.size(), file_.get());
}

NpyWriter::~NpyWriter() {
  if (file_) std::remove(temporary_.c_str());
}

void NpyWriter::write(std::span<const float> row) {
  if (std::fwrite(row.data(), sizeof(float), row.size(), file_.get()) != row.size()) {
    fail(ErrorKind::io, "{}: cannot be written: {}", path_, std::strerror(errno));
  }
}

void NpyWriter::finish() {
  if (std::fflush(file_.get()) != 0 || fsync(fileno(file_.get())) != 0 ||
      std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail(ErrorKind::io, "{}: cannot be written: {}", path_, std::strerror(errno));
  }
  file_.reset();
}

}  // namespace sluice::cli
