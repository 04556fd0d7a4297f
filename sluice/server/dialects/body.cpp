#include <fmt/format.h>

#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"

namespace sluice::server {
namespace {

/// Counts levels and keys before anything is built: the parser has no limit for the first, and of objects that keep
/// their order each key is compared with all before it. Up to the text's first error brackets and strings are told
/// apart as the parser does; it stops there anyway.
void check_size(std::string_view bytes, const Limits& limits) {
  std::vector<size_t> keys;  // of each open object or array
  bool in_string = false;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (keys.size() == limits.json_depth) {
        refuse_field("", fmt::format("is nested deeper than {} levels", limits.json_depth));
      }
      keys.push_back(0);
    } else if ((c == ']' || c == '}') && !keys.empty()) {
      keys.pop_back();
    } else if (c == ':' && !keys.empty() && ++keys.back() > limits.json_keys) {
      refuse_field("", fmt::format("has an object of more than {} keys", limits.json_keys));
    }
  }
}

}  // namespace

Json parse_body(std::string_view bytes, const Limits& limits) {
  check_size(bytes, limits);
  Json body;
  try {
    body = Json::parse(bytes);
  } catch (const Json::parse_error& error) {
    refuse_field("", fmt::format("is no JSON from byte {} on", error.byte), "invalid_json");
  } catch (const Json::exception&) {
    refuse_field("", "holds a number that no double can represent", "invalid_json");
  }
  if (!body.is_object()) refuse_type(body, "", "a JSON object");
  return body;
}

void check_token_ids(const Ask& ask, int64_t vocab_size) {
  const auto check = [&](int64_t id, const std::string& path) {
    if (id < 0 || id >= vocab_size) {
      refuse_field(path,
                   fmt::format("token {} is not in this model's vocabulary of {}: ids are the "
                               "model's own, other tokenizers' mean nothing to it",
                               id, vocab_size));
    }
  };
  for (const auto& [id, bias] : ask.sampling.logit_bias)
    check(id, fmt::format("logit_bias.{}", id));
  const auto* text = std::get_if<Ask::Text>(&ask.prompt);
  const auto* tokens = text ? std::get_if<std::vector<text::Token>>(&text->prompt) : nullptr;
  for (size_t i = 0; tokens && i < tokens->size(); ++i) check((*tokens)[i], indexed("prompt", i));
}

}  // namespace sluice::server
