#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "sluice/io/formats/gguf.h"

namespace sluice::models {

/// How the states behind the final norm of a text's tokens become the text's vector.
enum class Pooling : uint8_t {
  mean,  ///< of all tokens
  last,  ///< the last token's
};

/// What a model says of it: 1_Pooling/config.json and modules.json of sentence-transformers beside a checkpoint, or
/// ARCHITECTURE.pooling_type of a GGUF. The mean for one that says nothing, as sentence-transformers has it; nothing
/// for one that takes another way (dense layers behind it, a reranker). Throws Error(bad_model) for damaged files.
std::optional<Pooling> pooling_of_directory(const std::filesystem::path& directory);
std::optional<Pooling> pooling_of_gguf(const io::Gguf& gguf);

}  // namespace sluice::models
