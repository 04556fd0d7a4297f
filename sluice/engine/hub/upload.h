#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "sluice/base/bytes.h"
#include "sluice/engine/hub/hub.h"

namespace sluice::engine {

struct UploadOptions {
  PullOptions hub;          ///< its revision is the branch that is written to
  bool is_private = false;  ///< of a repository that is made; one that is there stays as it is
  std::string message = "Upload with sluice";
};

struct UploadResult {
  std::string url, commit;  ///< as the hub tells them
  int n_files = 0;
  Bytes bytes;  ///< of all files
  Bytes sent;   ///< of large ones that the hub did not have
};

/// Puts a model, a directory's files or one file, into a repository of a hub that speaks Hugging Face's protocol, which is
/// made where it is not there: large files into its store (Git LFS's batch calls, in parts where the hub says so),
/// then all in one commit. Files of the repository that the directory lacks stay. Call it again to go on after an interruption: what
/// the store has is not sent again. A model that is no more than partly here is refused.
/// Throws Error(bad_request) for a wrong name, a missing or insufficient token, or nothing to send; Error(io) otherwise.
UploadResult upload(const std::filesystem::path& model, std::string_view id,
                    const UploadOptions& options,
                    const std::function<void(const PullProgress&)>& progress);

}  // namespace sluice::engine
