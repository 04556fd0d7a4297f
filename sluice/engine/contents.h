#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "sluice/engine/engine.h"
#include "sluice/io/formats/gguf.h"

namespace sluice::engine {

/// What a model's files hold, whether it can run or not.
struct Contents {
  std::string architecture;
  Bytes file_bytes;
  std::vector<TensorSummary> tensors;
  /// Of a GGUF: keys and shortened values.
  std::vector<std::pair<std::string, std::string>> metadata;
};

/// Reads headers and nothing else. Throws Error(bad_model), Error(unsupported) or Error(io) for
/// damaged files.
Contents read_contents(const std::filesystem::path& path);

std::vector<TensorSummary> summaries(const io::TensorIndex& index);
std::vector<std::pair<std::string, std::string>> metadata_text(const io::GgufMetadata& metadata);

}  // namespace sluice::engine
