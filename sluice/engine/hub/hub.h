#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::engine {

struct PullOptions {
  std::string endpoint = "https://huggingface.co";
  std::string token;               ///< sent to the endpoint's own host only; "" for none
  std::string revision = "main";   ///< branch, tag or commit
  int parallel = 4;                ///< files at a time
  int tries = 5;                   ///< in a row without progress
  std::chrono::seconds stall{30};  ///< a transfer slower than 1000 B/s for so long is tried again

  /// With HF_ENDPOINT and HF_TOKEN where they are set.
  static PullOptions from_environment();
};

/// How far a pull is. A file that was already there counts as done.
struct PullProgress {
  struct File {
    std::string name;
    Bytes bytes, done;
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

/// Downloads a model from a hub that speaks Hugging Face's protocol into the store. `name` is "org/name", or
/// "org/name:Q4_K_M" (a quantization tag or file name) where a repository has several GGUFs; it becomes
/// the model's name. Call it again to go on after an interruption, or to update.
///
/// Legal states of the model's directory: absent; incomplete (it holds kIncompleteMarker; any file
/// may be missing or partial); complete (every file was hashed, and .sluice.json says which they are).
/// Throws Error(bad_request) for a wrong name, a missing model or a missing login, Error(io) otherwise.
PullResult pull(const ModelStore& store, std::string_view name, const PullOptions& options,
                const std::function<void(const PullProgress&)>& progress);

}  // namespace sluice::engine
