#include "sluice/engine/hub/hub.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "sluice/base/atomic_file.h"
#include "sluice/base/error.h"
#include "sluice/engine/hub/digest.h"
#include "sluice/engine/hub/download.h"
#include "sluice/engine/hub/hub_listing.h"

namespace sluice::engine {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

/// In a complete model's directory: what was pulled, so that the next pull need not hash it again.
constexpr std::string_view kManifest = ".sluice.json";
constexpr size_t kMaxListingBytes = 32 << 20;
/// Left free on the disk, for whoever else writes to it meanwhile.
constexpr uint64_t kSpareBytes = 64 << 20;

struct HubId {
  std::string id;        // "org/name"
  std::string selector;  // "Q4_K_M" or ""
};

HubId split_name(std::string_view name) {
  const size_t colon = name.find(':');
  if (colon == name.npos) return {std::string(name), ""};
  return {std::string(name.substr(0, colon)), std::string(name.substr(colon + 1))};
}

std::string escape_path(std::string_view path) {
  std::string escaped;
  for (size_t slash; (slash = path.find('/')) != path.npos; path.remove_prefix(slash + 1)) {
    escaped += url_escape(path.substr(0, slash)) + "/";
  }
  return escaped + url_escape(path);
}

std::string trimmed(const char* text) {
  std::string result(text == nullptr ? "" : text);
  while (!result.empty() && std::isspace(static_cast<unsigned char>(result.back())))
    result.pop_back();
  return result;
}

std::string content_hash(const HubFile& file) {
  return file.sha256.empty() ? file.git_sha1 : file.sha256;
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

void write_manifest(const fs::path& directory, const HubId& id, const HubListing& listing,
                    const std::vector<HubFile>& files) {
  json hashes = json::object();
  for (const HubFile& file : files) hashes[file.local_name()] = content_hash(file);
  const json manifest{
      {"id", id.id}, {"selector", id.selector}, {"commit", listing.commit}, {"files", hashes}};
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

void check_disk_space(const fs::path& directory, Bytes wanted) {
  fs::path existing = directory;
  while (!fs::exists(existing) && existing.has_relative_path()) existing = existing.parent_path();
  std::error_code error;
  const fs::space_info space = fs::space(existing, error);
  if (error || space.available >= wanted.count + kSpareBytes) return;
  fail(ErrorKind::io, "{}: the download needs {}, but only {} is free", directory.string(),
       to_string(wanted), to_string(Bytes{space.available}));
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
  Pull(const ModelStore& store, std::string_view name, const PullOptions& options)
      : options_(options),
        name_(name),
        id_(split_name(name)),
        directory_(store.directory(name)),
        retry_{.tries = options.tries},
        client_({options.token, options.endpoint, options.stall}) {
    while (options_.endpoint.ends_with('/')) options_.endpoint.pop_back();
  }

  PullResult run(const std::function<void(const PullProgress&)>& progress) {
    const HubListing listing = fetch_listing();
    const std::vector<HubFile> files = choose_hub_files(listing, id_.id, id_.selector);
    PullResult result{name_, directory_, listing.commit, {}, {}, static_cast<int>(files.size())};
    for (const HubFile& file : files) result.bytes = result.bytes + Bytes{file.bytes};
    if (!fs::exists(directory_))
      check_disk_space(directory_, result.bytes);  // before anything is made
    fs::create_directories(directory_);
    const DirectoryLock lock(directory_);

    const Work work = find_work(listing, files);
    if (work.downloads.empty() && !is_incomplete()) return result;
    check_disk_space(directory_, work.missing);
    write_file_atomically(directory_ / kIncompleteMarker, "");
    sync_directory(directory_);
    PullProgress state = work.state;
    progress(state);
    download_files(client_, work.downloads, options_.parallel, retry_,
                   [&](size_t download, uint64_t bytes) {
                     state.files[work.places[download]].done = {bytes};
                     progress(state);
                   });
    finish(listing, files);
    result.downloaded = work.missing;
    return result;
  }

 private:
  struct Work {
    PullProgress state;
    std::vector<Download> downloads;
    std::vector<size_t> places;  // of each download in state.files
    Bytes missing;
  };

  bool is_incomplete() const { return fs::exists(directory_ / kIncompleteMarker); }

  HubListing fetch_listing() {
    const std::string url =
        fmt::format("{}/api/models/{}/revision/{}?blobs=true", options_.endpoint,
                    escape_path(id_.id), url_escape(options_.revision));
    return parse_hub_listing(download_text(client_, url, kMaxListingBytes, id_.id, retry_), id_.id);
  }

  Work find_work(const HubListing& listing, const std::vector<HubFile>& files) const {
    // An interrupted pull may have replaced files since the manifest was written.
    const Manifest manifest = is_incomplete() ? Manifest{} : read_manifest(directory_);
    const std::string revision = listing.commit.empty() ? options_.revision : listing.commit;
    Work work;
    for (const HubFile& file : files) {
      PullProgress::File shown{file.local_name(), {file.bytes}, {file.bytes}};
      if (!is_here(directory_, file, manifest)) {
        const std::string url =
            fmt::format("{}/{}/resolve/{}/{}", options_.endpoint, escape_path(id_.id),
                        url_escape(revision), escape_path(file.name));
        const Download download{url, directory_ / file.local_name(), file.bytes, file.sha256,
                                file.git_sha1};
        shown.done = {resumable_bytes(download)};
        work.missing.count += file.bytes - shown.done.count;
        work.places.push_back(work.state.files.size());
        work.downloads.push_back(download);
      }
      work.state.files.push_back(std::move(shown));
    }
    return work;
  }

  void finish(const HubListing& listing, const std::vector<HubFile>& files) const {
    remove_outdated(directory_, read_manifest(directory_), files);
    write_manifest(directory_, id_, listing, files);
    sync_directory(directory_);
    fs::remove(directory_ / kIncompleteMarker);
    sync_directory(directory_);
  }

  PullOptions options_;
  std::string name_;
  HubId id_;
  fs::path directory_;
  RetryOptions retry_;
  HttpClient client_;
};

}  // namespace

PullOptions PullOptions::from_environment() {
  PullOptions options;
  if (const std::string endpoint = trimmed(std::getenv("HF_ENDPOINT")); !endpoint.empty())
    options.endpoint = endpoint;
  options.token = trimmed(std::getenv("HF_TOKEN"));
  return options;
}

PullResult pull(const ModelStore& store, std::string_view name, const PullOptions& options,
                const std::function<void(const PullProgress&)>& progress) {
  return Pull(store, name, options).run(progress);
}

}  // namespace sluice::engine
