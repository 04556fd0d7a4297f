#include "sluice/engine/disk_cache/cache_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <system_error>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/engine/disk_cache/block_file.h"

namespace sluice::engine {
namespace {

namespace fs = std::filesystem;

/// Damaged files that are kept.
constexpr size_t kMostDamaged = 8;
constexpr std::chrono::minutes kYoung{10};

void make_private_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder.parent_path(), error);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    fail(ErrorKind::io, "{}: cannot be made: {}", folder.string(),
         std::generic_category().message(errno));
  }
  struct stat status {};
  if (::lstat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
    fail(ErrorKind::io, "{}: is not a folder", folder.string());
  if (status.st_uid != ::geteuid()) {
    fail(ErrorKind::io, "{}: belongs to user {}, not to {}, who runs this; name another store",
         folder.string(), status.st_uid, ::geteuid());
  }
  if ((status.st_mode & 077) != 0 && ::chmod(folder.c_str(), 0700) != 0) {
    fail(ErrorKind::io, "{}: others may read it, and that cannot be changed: {}", folder.string(),
         std::generic_category().message(errno));
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    fail(ErrorKind::io, "{}: cannot be written to: {}", folder.string(),
         std::generic_category().message(errno));
  }
}

std::vector<fs::directory_entry> files_in(const fs::path& folder) {
  std::vector<fs::directory_entry> files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    files.push_back(*at);
  return files;
}

fs::file_time_type time_of(const fs::directory_entry& file) {
  std::error_code error;
  const auto time = file.last_write_time(error);
  return error ? fs::file_time_type::min() : time;
}

}  // namespace

CacheFolder::CacheFolder(fs::path root) : root_(std::move(root)) {
  for (const fs::path& folder : {root_, blocks(), damaged()}) make_private_folder(folder);
}

fs::path CacheFolder::block(std::string_view name) const {
  if (!is_block_name(name)) fail(ErrorKind::internal, "a block's file is called {}", name);
  return blocks() / name;
}

std::string CacheFolder::new_name() {
  std::random_device random;
  std::string name;
  for (int i = 0; i < 4; ++i) name += fmt::format("{:08x}", random());
  return name;
}

bool CacheFolder::is_block_name(std::string_view name) {
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return name.size() == 32 && std::ranges::all_of(name, is_digit);
}

void CacheFolder::remove(std::string_view name) const noexcept {
  if (is_block_name(name)) ::unlink((blocks() / name).c_str());
}

void CacheFolder::quarantine(std::string_view name) const noexcept {
  if (is_block_name(name)) move_to_quarantine(blocks() / name);
}

void CacheFolder::quarantine_index() const noexcept {
  for (const char* suffix : {"", "-wal", "-shm"}) move_to_quarantine(index().string() + suffix);
}

void CacheFolder::move_to_quarantine(const fs::path& file) const noexcept {
  std::error_code error;
  fs::rename(file, damaged() / file.filename(), error);
  auto files = files_in(damaged());
  if (files.size() <= kMostDamaged) return;
  std::ranges::sort(files, {}, time_of);
  for (size_t i = 0; i + kMostDamaged < files.size(); ++i) fs::remove(files[i].path(), error);
}

void CacheFolder::sweep(const std::function<bool(std::string_view)>& is_known) const {
  const auto young = fs::file_time_type::clock::now() - kYoung;
  for (const auto& file : files_in(blocks())) {
    const std::string name = file.path().filename().string();
    if (name.ends_with(BlockFile::kTemporary)) {
      BlockFile::remove_abandoned(file.path());
    } else if (time_of(file) < young && !is_known(name)) {
      std::error_code ignored;
      fs::remove(file.path(), ignored);
    }
  }
}

void CacheFolder::clear() const {
  for (const fs::path& folder : {blocks(), damaged()}) {
    for (const auto& file : files_in(folder)) {
      std::error_code ignored;
      if (file.path().extension() == BlockFile::kTemporary) {
        BlockFile::remove_abandoned(file.path());
      } else {
        fs::remove(file.path(), ignored);
      }
    }
  }
}

Bytes CacheFolder::free_space() const noexcept {
  std::error_code error;
  const auto space = fs::space(root_, error);
  return error ? Bytes{0} : Bytes{space.available};
}

}  // namespace sluice::engine
