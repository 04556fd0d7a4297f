#pragma once

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/base/bytes.h"

namespace sluice::engine {

/// The model that `make run` fetches and that commands use when none is named.
inline constexpr std::string_view kDefaultModel = "smollm2-135m-instruct";

/// A model's directory holds this file while its download is not finished.
inline constexpr std::string_view kIncompleteMarker = ".incomplete";

enum class ModelFormat { safetensors, gguf };
std::string_view to_string(ModelFormat format);

/// One model as `sluice list` shows it.
struct StoredModel {
  std::string name;  ///< as resolve() and remove() take it: "org/name", "org/name:Q4_K_M", "name"
  std::filesystem::path path;  ///< its directory, or a .gguf file that lies in models/ itself
  Bytes bytes;                 ///< all its files
  ModelFormat format = ModelFormat::safetensors;
  std::string
      quantization;  ///< a hint from names and config.json: "Q4_K_M", "4-bit", "bfloat16"; may be ""
  std::time_t modified = 0;  ///< of its newest file
  bool complete = true;      ///< false while a pull has not ended
};

/// The models on this machine by name: directories below ROOT/models, one level ("name") or two
/// ("org/name"), whose relative path is the name. Nothing outside ROOT is ever changed. Without a ROOT (a
/// service has no HOME) resolve() takes paths, and whatever needs a name throws Error(bad_request).
class ModelStore {
 public:
  explicit ModelStore(std::filesystem::path root = default_root()) : root_(std::move(root)) {}

  /// $SLUICE_HOME, else $XDG_CACHE_HOME/sluice, else ~/.cache/sluice; empty when none of them is set.
  static std::filesystem::path default_root();

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path models() const;

  /// The directory that a model of this name has or would have. Throws Error(bad_request) unless is_model_name().
  std::filesystem::path directory(std::string_view name) const;

  /// MODEL as the user wrote it: an existing path (which wins), else a name. Gives a .gguf file (the
  /// first one of a split set) or a directory. Throws Error(bad_request) that says what was looked
  /// for and which command would get it.
  std::filesystem::path resolve(std::string_view model) const;

  /// Whether MODEL can only be on a hub: "org/name", which is no path, and which the store has not or not wholly.
  bool lacks(std::string_view model) const;

  /// Every model, by name. Never throws for an unreadable or odd entry: it is left out.
  std::vector<StoredModel> list() const;

  /// Deletes a model's files and says how many bytes that were; a model that is a symbolic link
  /// loses the link only. Throws Error(bad_request) when there is no such model, Error(io) when it
  /// cannot be deleted or a pull is at work on it.
  Bytes remove(std::string_view name) const;

 private:
  std::filesystem::path root_;
};

/// "name", "org/name" or either with ":SELECTOR": letters, digits, '.', '_', '-', no part starting with
/// '.' or '-', no "..". Only such names become paths.
bool is_model_name(std::string_view name);

/// The tag in a GGUF's file name, upper case: "gemma-3-270m-q4_k_m.gguf" has "Q4_K_M".
std::optional<std::string> quantization_tag(std::string_view file_name);

/// "model-00002-of-00003.gguf" is part 2 of "model"; any other name is part 1 of its own stem.
struct GgufPart {
  std::string stem;
  int part = 1;
};
GgufPart gguf_part(std::string_view file_name);

/// Held by whoever changes a model's directory; released when it dies, also by a crash. Move-only.
class DirectoryLock {
 public:
  /// Throws Error(io) when another process has it or the directory cannot be opened.
  explicit DirectoryLock(const std::filesystem::path& directory);
  ~DirectoryLock();
  DirectoryLock(DirectoryLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  DirectoryLock& operator=(DirectoryLock&&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace sluice::engine
