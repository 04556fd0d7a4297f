#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "sluice/engine/hub/http_client.h"
#include "sluice/engine/hub/retry.h"

namespace sluice::engine {

/// One file to get, and what its content must be.
struct Download {
  std::string url;
  std::filesystem::path path;  ///< appears when complete and checked; "<path>.partial" until then
  uint64_t bytes = 0;
  std::string sha256;  ///< hex; "" when unknown
  std::string
      git_sha1;  ///< hex of the git blob, looked at when there is no sha256; "" when unknown
};

/// Called with the number of a download and the bytes of it that are here.
using DownloadProgress = std::function<void(size_t download, uint64_t bytes)>;

/// Gets all files, `parallel` at a time. A partial file of an earlier call is continued where it
/// ended, if it is of the same content. Lost connections and 5xx answers are tried again.
/// Throws Error(io), or Error(bad_request) for 401, 403 and 404; partial files then stay, but one whose hash
/// is wrong, or that is a Git LFS pointer or a web page in the file's place, is discarded.
void download_files(HttpClient& client, const std::vector<Download>& downloads, int parallel,
                    const RetryOptions& retry, const DownloadProgress& progress);

/// Gets a text of at most max_bytes into memory, with the same retries. `what` names it in errors.
std::string download_text(HttpClient& client, const std::string& url, size_t max_bytes,
                          const std::string& what, const RetryOptions& retry);

/// The bytes of a download that an earlier call left to be continued.
uint64_t resumable_bytes(const Download& download);

}  // namespace sluice::engine
