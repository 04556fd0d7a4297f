#include "sluice/engine/hub/hub.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "sluice/base/atomic_file.h"
#include "sluice/base/digest.h"
#include "sluice/base/error.h"
#include "sluice/engine/hub/download.h"
#include "sluice/engine/hub/hub_headers.h"
#include "sluice/engine/hub/hub_listing.h"
#include "sluice/engine/hub/hub_repository.h"
#include "sluice/io/file.h"

namespace sluice::engine {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

/// In a complete model's directory: what was pulled, so that the next pull need not hash it again.
constexpr std::string_view kManifest = ".sluice.json";
/// Left free on the disk, for whoever else writes to it meanwhile.
constexpr Bytes kSpare{64 << 20};

std::string content_hash(const HubFile& file) {
  return file.sha256.empty() ? file.git_sha1 : file.sha256;
}

std::string named_hash(const HubFile& file) {
  if (!file.sha256.empty()) return "sha256:" + file.sha256;
  return file.git_sha1.empty() ? "" : "git-sha1:" + file.git_sha1;
}

/// What an earlier pull recorded: the hash by file name. Empty when there is no such record.
using Manifest = std::map<std::string, std::string>;

Manifest read_manifest(const fs::path& directory) {
  std::ifstream file(directory / kManifest);
  const json manifest = json::parse(file, nullptr, /*allow_exceptions=*/false);
  Manifest hashes;
  if (!manifest.is_object() || !manifest.contains("files") || !manifest["files"].is_object())
    return {};
  for (const auto& [name, hash] : manifest["files"].items()) {
    if (hash.is_string()) hashes[name] = hash.get<std::string>();
  }
  return hashes;
}

void write_manifest(const fs::path& directory, const HubRepository& repository) {
  json hashes = json::object();
  for (const HubFile& file : repository.files()) hashes[file.local_name()] = content_hash(file);
  const json manifest{{"id", repository.id()},
                      {"selector", repository.selector()},
                      {"commit", repository.commit()},
                      {"files", hashes}};
  write_file_atomically(directory / kManifest, manifest.dump(1) + "\n");
}

/// Whether a file is here already: as the manifest says, else by hashing it.
bool is_here(const fs::path& directory, const HubFile& file, const Manifest& manifest) {
  const fs::path path = directory / file.local_name();
  std::error_code error;
  if (!fs::is_regular_file(fs::symlink_status(path, error)) ||
      fs::file_size(path, error) != file.bytes)
    return false;
  const std::string wanted = content_hash(file);
  if (const auto known = manifest.find(file.local_name());
      known != manifest.end() && !wanted.empty()) {
    return known->second == wanted;
  }
  if (wanted.empty()) return false;
  Digest digest = file.sha256.empty() ? Digest::git_blob(file.bytes) : Digest::sha256();
  update_from_file(digest, path);
  return digest.hex() == wanted;
}

/// Free on the disk that holds a directory, or will.
std::optional<Bytes> free_space(const fs::path& directory) {
  std::error_code error;
  fs::path existing = fs::absolute(directory, error);
  while (!fs::exists(existing, error) && existing.has_relative_path())
    existing = existing.parent_path();
  const fs::space_info space = fs::space(existing, error);
  return error ? std::nullopt : std::optional(Bytes{space.available});
}

void check_disk_space(const fs::path& directory, Bytes wanted) {
  const auto free = free_space(directory);
  if (!free || free->count >= wanted.count + kSpare.count) return;
  fail(ErrorKind::io, "{}: the download needs {} and keeps {} spare, but only {} is free",
       directory.string(), to_string(wanted), to_string(kSpare), to_string(*free));
}

/// Deletes files of the revision before that this one does not have, and parts that nobody will continue.
void remove_outdated(const fs::path& directory, const Manifest& manifest,
                     const std::vector<HubFile>& files) {
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename();
    if (name.ends_with(".partial") || name.ends_with(".partial.note")) fs::remove(entry.path());
  }
  std::set<std::string> wanted;
  for (const HubFile& file : files) wanted.insert(file.local_name());
  for (const auto& [name, hash] : manifest) {
    // The manifest is ours, but a name in it deletes a file: it has to be a plain one all the same.
    if (!wanted.contains(name) && is_model_name(name) && name.find('/') == name.npos) {
      fs::remove(directory / name);
    }
  }
}

class Pull {
 public:
  Pull(const ModelStore& store, std::string_view name, const PullOptions& options,
       const PullCallbacks& callbacks)
      : options_(options),
        callbacks_(callbacks),
        name_(name),
        directory_(store.directory(name)),
        repository_(name, options) {}

  PullResult run() {
    PullResult result{name_,
                      directory_,
                      repository_.commit(),
                      repository_.bytes(),
                      {},
                      static_cast<int>(repository_.files().size())};
    if (!fs::exists(directory_))
      check_disk_space(directory_, result.bytes);  // before anything is made
    fs::create_directories(directory_);
    const DirectoryLock lock(directory_);

    Work work = find_work();
    if (work.small.files.empty() && work.weights.files.empty() && !is_incomplete()) return result;
    check_disk_space(directory_, work.missing);
    write_file_atomically(directory_ / kIncompleteMarker, "");
    io::sync_directory(directory_);
    result.downloaded = work.missing;
    // Small files first: they are a part of what the preview shows.
    download(work.small, work.state);
    if (!work.weights.files.empty()) preview();
    download(work.weights, work.state);
    finish();
    return result;
  }

 private:
  struct Downloads {
    std::vector<Download> files;
    std::vector<size_t> places;  // of each in the progress
  };
  struct Work {
    PullProgress state;
    Downloads small, weights;
    Bytes missing;
  };

  bool is_incomplete() const { return fs::exists(directory_ / kIncompleteMarker); }

  Work find_work() const {
    // An interrupted pull may have replaced files since the manifest was written.
    const Manifest manifest = is_incomplete() ? Manifest{} : read_manifest(directory_);
    Work work;
    for (const HubFile& file : repository_.files()) {
      PullProgress::File shown{file.local_name(), {file.bytes}, {file.bytes}, named_hash(file)};
      if (!is_here(directory_, file, manifest)) {
        const Download download{repository_.url(file), directory_ / file.local_name(), file.bytes,
                                file.sha256, file.git_sha1};
        shown.done = {resumable_bytes(download)};
        work.missing.count += file.bytes - shown.done.count;
        Downloads& kind = holds_weights(file) ? work.weights : work.small;
        kind.places.push_back(work.state.files.size());
        kind.files.push_back(download);
      }
      work.state.files.push_back(std::move(shown));
    }
    return work;
  }

  void download(const Downloads& downloads, PullProgress& state) {
    const auto show = [&] {
      if (callbacks_.progress) callbacks_.progress(state);
    };
    show();
    download_files(repository_.client(), downloads.files, options_.parallel, repository_.retry(),
                   [&](size_t download, uint64_t bytes) {
                     state.files[downloads.places[download]].done = {bytes};
                     show();
                   });
  }

  void preview() {
    if (!callbacks_.preview) return;
    try {
      callbacks_.preview(fetch_headers(repository_, options_, directory_), repository_.bytes());
    } catch (const Error& error) {
      if (callbacks_.no_preview) callbacks_.no_preview(error);
    }
  }

  void finish() const {
    remove_outdated(directory_, read_manifest(directory_), repository_.files());
    write_manifest(directory_, repository_);
    io::sync_directory(directory_);
    fs::remove(directory_ / kIncompleteMarker);
    io::sync_directory(directory_);
  }

  PullOptions options_;
  const PullCallbacks& callbacks_;
  std::string name_;
  fs::path directory_;
  HubRepository repository_;
};

}  // namespace

PullResult pull(const ModelStore& store, std::string_view name, const PullOptions& options,
                const PullCallbacks& callbacks) {
  return Pull(store, name, options, callbacks).run();
}

std::optional<Bytes> room_for_models(const ModelStore& store) {
  const auto free = free_space(store.models());
  return free ? std::optional(Bytes{free->count - std::min(free->count, kSpare.count)})
              : std::nullopt;
}

}  // namespace sluice::engine
