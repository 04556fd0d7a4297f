#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sluice/engine/hub/hub_repository.h"

namespace sluice::engine {

/// A directory that is deleted with all that is in it. Move-only.
class TemporaryDirectory {
 public:
  /// Throws Error(io).
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::move(other.path_)) {
    other.path_.clear();
  }
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Already now.
  void remove() noexcept;

 private:
  std::filesystem::path path_;
};

/// What a model's files begin with: enough to open it by LoadMode::headers.
struct HubHeaders {
  TemporaryDirectory directory;
  std::filesystem::path model;  ///< in it: a .gguf file or the directory
};

/// Gets the headers of the model's weights and its small files whole, without the weights. A small file is taken
/// from `here` when that directory has it.
/// Throws Error(bad_model) or Error(unsupported) for headers that no reader takes or that make a file larger
/// than it is on the hub, and as HubRepository does.
HubHeaders fetch_headers(HubRepository& repository, const PullOptions& options,
                         const std::filesystem::path& here = {});

/// An error's text with the model's name in place of the temporary directory.
std::string without_path(std::string text, const std::string& model,
                         const std::filesystem::path& directory);

/// Whether a file holds weights; all others are small.
bool holds_weights(const HubFile& file);

}  // namespace sluice::engine
