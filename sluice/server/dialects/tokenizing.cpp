#include "sluice/server/dialects/data_asks.h"
#include "sluice/server/dialects/fields.h"
#include "sluice/server/dialects/telling.h"

namespace sluice::server {

TokenizeAsk read_tokenize(const Json& json, const ReadOptions&) {
  TokenizeAsk ask;
  Fields body(json, "");
  ask.model = body.text("model").value_or("");
  const auto content = body.text("content");
  const auto prompt = body.text("prompt");  // vLLM's name
  if (!content && !prompt) {
    refuse_field("content", "is missing, wanted a string", "missing_required_parameter");
  }
  ask.content = content ? *content : *prompt;
  for (const std::string_view name : {"add_special", "add_special_tokens"}) {
    if (const auto value = body.boolean(name)) ask.add_special = *value;
  }
  ask.parse_special = body.boolean("parse_special").value_or(true);
  for (const std::string_view name : {"with_pieces", "return_token_strs"}) {
    if (const auto value = body.boolean(name)) ask.with_pieces = *value;
  }
  body.finish();
  return ask;
}

std::string tokenize_body(const TokenizeAsk& ask, std::span<const ScoredToken> tokens,
                          int64_t context) {
  Json list = Json::array();
  for (const ScoredToken& token : tokens) {
    if (ask.with_pieces) {
      list.push_back({{"id", token.id}, {"piece", shown_token(token)}});
    } else {
      list.push_back(token.id);
    }
  }
  return dump({{"tokens", std::move(list)}, {"count", tokens.size()}, {"max_model_len", context}});
}

DetokenizeAsk read_detokenize(const Json& json, const ReadOptions&) {
  DetokenizeAsk ask;
  Fields body(json, "");
  ask.model = body.text("model").value_or("");
  const Json* tokens = body.any("tokens");
  if (!tokens) refuse_field("tokens", "is missing", "missing_required_parameter");
  ask.tokens = to_tokens(*tokens, "tokens");
  body.finish();
  return ask;
}

/// llama-server calls it content, vLLM prompt.
std::string detokenize_body(const std::string& text) {
  return dump({{"content", text}, {"prompt", text}});
}

}  // namespace sluice::server
