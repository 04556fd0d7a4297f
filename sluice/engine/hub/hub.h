#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/base/error.h"
#include "sluice/engine/hub/hub_headers.h"
#include "sluice/engine/hub/hub_repository.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::engine {

/// How far a pull is. A file that was already there counts as done.
struct PullProgress {
  struct File {
    std::string name;
    Bytes bytes, done;
    std::string hash =
        {};  ///< of its content, "sha256:..." or "git-sha1:..."; "" when the hub gives none
  };
  std::vector<File> files;
};

struct PullResult {
  std::string name;            ///< as `sluice list` shows it
  std::filesystem::path path;  ///< the model's directory
  std::string commit;          ///< of the hub's repository; "" when it gives none
  Bytes bytes;                 ///< of all files
  Bytes downloaded;            ///< of those that had to be fetched; 0 when all was up to date
  int n_files = 0;
};

/// What a pull tells while it runs; each may be empty.
struct PullCallbacks {
  std::function<void(const PullProgress&)> progress;
  /// Before any weights are fetched: what the model's files begin with, and what all of them take.
  std::function<void(HubHeaders, Bytes)> preview;
  /// Why there is no preview; the pull goes on.
  std::function<void(const Error&)> no_preview;
};

/// Downloads a model from a hub that speaks Hugging Face's protocol into the store. `name` is "org/name", or
/// "org/name:Q4_K_M" (a quantization tag or file name) where a repository has several GGUFs; it becomes
/// the model's name. Call it again to go on after an interruption, or to update.
///
/// Legal states of the model's directory: absent; incomplete (it holds kIncompleteMarker; any file
/// may be missing or partial); complete (every file was hashed, and .sluice.json says which they are).
/// Throws Error(bad_request) for a wrong name, a missing model or a missing login, Error(io) otherwise.
PullResult pull(const ModelStore& store, std::string_view name, const PullOptions& options,
                const PullCallbacks& callbacks);

/// Bytes that a pull could fill on the store's disk: what is free, less a little for whoever else writes to it.
/// nullopt when the system does not say.
std::optional<Bytes> room_for_models(const ModelStore& store);

}  // namespace sluice::engine
