#include "sluice/base/atomic_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <system_error>

#include "sluice/base/error.h"

namespace sluice {
namespace {

/// A temporary file's path where a signal handler can read it: free -> taken (the path is being written) ->
/// listed -> free.
struct Place {
  enum State : int { free, taken, listed };
  std::atomic<State> state{free};
  std::array<char, PATH_MAX> path{};
};
static_assert(std::atomic<Place::State>::is_always_lock_free);  // else no handler may ask

/// More files at once are written all the same; a signal then leaves theirs.
std::array<Place, 16> places;

/// places.size() when all are taken or the path is longer than the system opens.
size_t take_place(const std::string& path) {
  if (path.size() >= PATH_MAX) return places.size();
  for (size_t i = 0; i < places.size(); ++i) {
    auto expected = Place::free;
    if (!places[i].state.compare_exchange_strong(expected, Place::taken)) continue;
    std::copy_n(path.c_str(), path.size() + 1, places[i].path.data());
    places[i].state = Place::listed;
    return i;
  }
  return places.size();
}

void leave_place(size_t place) {
  if (place < places.size()) places[place].state = Place::free;
}

}  // namespace

void AtomicFile::remove_temporaries() noexcept {
  for (const Place& place : places) {
    if (place.state == Place::listed) ::unlink(place.path.data());
  }
}

AtomicFile::AtomicFile(std::filesystem::path path)
    : path_(std::move(path)),
      temporary_(fmt::format("{}.{}.partial", path_.string(), ::getpid())),
      place_(take_place(temporary_.string())) {
  std::error_code ignored;
  const auto there = std::filesystem::status(path_, ignored);
  const bool is_other = std::filesystem::exists(there) && !std::filesystem::is_regular_file(there);
  if (!is_other) file_.reset(std::fopen(temporary_.c_str(), "wb"));
  if (file_) return;
  const int error = errno;
  leave_place(place_);
  if (is_other) fail(ErrorKind::io, "{}: cannot be written: is not a regular file", path_.string());
  fail_with(error);
}

AtomicFile::~AtomicFile() {
  if (file_) std::remove(temporary_.c_str());
  leave_place(place_);
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

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace sluice
