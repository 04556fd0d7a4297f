#include "sluice/base/atomic_file.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "sluice/base/error.h"

namespace sluice {

AtomicFile::AtomicFile(std::filesystem::path path)
    : path_(std::move(path)), temporary_(fmt::format("{}.{}.partial", path_.string(), ::getpid())) {
  std::error_code ignored;
  const auto there = std::filesystem::status(path_, ignored);
  if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there)) {
    fail(ErrorKind::io, "{}: cannot be written: is not a regular file", path_.string());
  }
  file_.reset(std::fopen(temporary_.c_str(), "wb"));
  if (!file_) fail_with(errno);
}

AtomicFile::~AtomicFile() {
  if (file_) std::remove(temporary_.c_str());
}

void AtomicFile::write(std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) fail_with(errno);
}

void AtomicFile::commit() {
  if (std::fflush(file_.get()) != 0 || ::fsync(::fileno(file_.get())) != 0 ||
      std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail_with(errno);
  }
  file_.reset();
}

void AtomicFile::fail_with(int error) const {
  fail(ErrorKind::io, "{}: cannot be written: {}", path_.string(),
       std::generic_category().message(error));
}

}  // namespace sluice
