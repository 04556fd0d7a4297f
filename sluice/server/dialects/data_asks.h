#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "sluice/server/ask.h"
#include "sluice/server/dialects/dialect.h"

namespace sluice::server {

/// Texts to be made vectors of.
struct EmbedAsk {
  enum class Shape { openai, ollama, ollama_single };
  Shape shape = Shape::openai;
  std::string model = {};  ///< empty: the default one
  std::vector<std::variant<std::string, std::vector<text::Token>>> inputs = {};
  std::optional<int64_t> dimensions = std::nullopt;  ///< first ones of a vector, normalised anew
  bool base64 = false;                               ///< little-endian float32
  bool truncate = false;                             ///< longer texts are cut instead of refused
};
EmbedAsk read_openai_embeddings(const Json& body, const ReadOptions& options);  // /v1/embeddings
EmbedAsk read_ollama_embed(const Json& body, const ReadOptions& options);       // /api/embed
EmbedAsk read_ollama_embeddings(const Json& body, const ReadOptions& options);  // /api/embeddings
/// model: as /v1/models names it; one vector for each of ask.inputs.
std::string embeddings_body(const EmbedAsk& ask, const std::string& model,
                            const std::vector<std::vector<float>>& vectors, const Usage& usage);

/// POST /api/pull
struct PullAsk {
  std::string model = {};
  bool stream = true;
};
PullAsk read_ollama_pull(const Json& body);

/// POST /tokenize and /detokenize, as llama-server and vLLM have them.
struct TokenizeAsk {
  std::string model = {};
  std::string content = {};
  bool add_special = false, parse_special = true, with_pieces = false;
};
TokenizeAsk read_tokenize(const Json& body, const ReadOptions& options);
/// context: most tokens that are served.
std::string tokenize_body(const TokenizeAsk& ask, std::span<const ScoredToken> tokens,
                          int64_t context);

struct DetokenizeAsk {
  std::string model = {};
  std::vector<text::Token> tokens = {};
};
DetokenizeAsk read_detokenize(const Json& body, const ReadOptions& options);
std::string detokenize_body(const std::string& text);

}  // namespace sluice::server
