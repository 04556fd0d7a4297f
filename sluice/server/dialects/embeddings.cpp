#include <array>
#include <bit>
#include <cstring>

#include "sluice/base/base64.h"
#include "sluice/server/dialects/data_asks.h"
#include "sluice/server/dialects/fields.h"
#include "sluice/server/dialects/openai_fields.h"

namespace sluice::server {
namespace {

/// Float32, little-endian.
std::string bytes_of(const std::vector<float>& vector) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(vector.size() * sizeof(float), '\0');
  if (!vector.empty()) std::memcpy(bytes.data(), vector.data(), bytes.size());
  return bytes;
}

/// A text, texts, token ids, or several of these.
void read_inputs(const Json& input, const std::string& path, EmbedAsk& ask, const Limits& limits) {
  if (input.is_string()) {
    ask.inputs.emplace_back(input.get<std::string>());
    return;
  }
  if (!input.is_array()) refuse_type(input, path, "a text, texts or token ids");
  if (input.empty()) refuse_field(path, "is empty, wanted a text");
  if (input.front().is_number()) {
    ask.inputs.emplace_back(to_tokens(input, path));
    return;
  }
  to_array(input, path, limits.embedding_inputs);
  for (size_t i = 0; i < input.size(); ++i) {
    if (input[i].is_string()) {
      ask.inputs.emplace_back(input[i].get<std::string>());
    } else {
      ask.inputs.emplace_back(to_tokens(input[i], indexed(path, i)));
    }
  }
}

void read_ollama_neutral(Fields& body, EmbedAsk& ask) {
  ask.model = body.text("model").value_or("");
  ask.truncate = body.boolean("truncate").value_or(true);
  body.neutral(std::to_array<std::string_view>({"keep_alive", "options"}));
}

}  // namespace

EmbedAsk read_openai_embeddings(const Json& json, const ReadOptions& options) {
  EmbedAsk ask;
  Fields body(json, "");
  ask.model = body.text("model").value_or("");
  const Json* input = body.any("input");
  if (!input) refuse_field("input", "is missing", "missing_required_parameter");
  read_inputs(*input, "input", ask, options.limits);
  ask.base64 = body.word("encoding_format", {"float", "base64"}) == "base64";
  ask.dimensions = body.integer("dimensions", 1, 1 << 20);
  read_openai_neutral(body);
  body.finish();
  return ask;
}

EmbedAsk read_ollama_embed(const Json& json, const ReadOptions& options) {
  EmbedAsk ask{.shape = EmbedAsk::Shape::ollama};
  Fields body(json, "");
  read_ollama_neutral(body, ask);
  const Json* input = body.any("input");
  if (!input) refuse_field("input", "is missing", "missing_required_parameter");
  read_inputs(*input, "input", ask, options.limits);
  ask.dimensions = body.integer("dimensions", 1, 1 << 20);
  body.finish();
  return ask;
}

EmbedAsk read_ollama_embeddings(const Json& json, const ReadOptions&) {
  EmbedAsk ask{.shape = EmbedAsk::Shape::ollama_single};
  Fields body(json, "");
  read_ollama_neutral(body, ask);
  ask.inputs.emplace_back(body.required_text("prompt"));
  body.finish();
  return ask;
}

std::string embeddings_body(const EmbedAsk& ask, const std::string& model,
                            const std::vector<std::vector<float>>& vectors, const Usage& usage) {
  if (ask.shape == EmbedAsk::Shape::ollama_single) {
    return dump({{"embedding", vectors.front()}});
  }
  if (ask.shape == EmbedAsk::Shape::ollama) {
    const double seconds = usage.queued_seconds + usage.load_seconds + usage.prefill_seconds;
    return dump({{"model", model},
                 {"embeddings", vectors},
                 {"total_duration", static_cast<int64_t>(seconds * 1e9)},
                 {"load_duration", static_cast<int64_t>(usage.load_seconds * 1e9)},
                 {"prompt_eval_count", usage.prompt_tokens}});
  }
  Json data = Json::array();
  for (size_t i = 0; i < vectors.size(); ++i) {
    data.push_back(
        {{"object", "embedding"},
         {"index", i},
         {"embedding", ask.base64 ? Json(base64(bytes_of(vectors[i]))) : Json(vectors[i])}});
  }
  return dump(
      {{"object", "list"},
       {"data", std::move(data)},
       {"model", model},
       {"usage", {{"prompt_tokens", usage.prompt_tokens}, {"total_tokens", usage.prompt_tokens}}}});
}

}  // namespace sluice::server
