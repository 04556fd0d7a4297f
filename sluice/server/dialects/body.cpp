#include <fmt/format.h>

#include "sluice/io/formats/json_excess.h"
#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"

namespace sluice::server {
namespace {

void check_size(std::string_view bytes, const Limits& limits) {
  const auto excess = io::find_excess(bytes, limits.json);
  if (!excess) return;
  if (excess->what == io::JsonExcess::What::depth)
    refuse_field("", fmt::format("is nested deeper than {} levels", limits.json.depth));
  if (excess->what == io::JsonExcess::What::values)
    refuse_field("", fmt::format("has more than {} values", limits.json.values));
  refuse_field("", fmt::format("has an object of more than {} keys", limits.json.keys));
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
  const auto check_prompt = [&](const TextPrompt::Given& prompt, const std::string& path) {
    const auto* tokens = std::get_if<std::vector<text::Token>>(&prompt);
    for (size_t i = 0; tokens && i < tokens->size(); ++i) check((*tokens)[i], indexed(path, i));
  };
  const auto* text = std::get_if<Ask::Text>(&ask.prompt);
  if (text == nullptr) return;
  check_prompt(text->prompt, text->more.empty() ? "prompt" : "prompt[0]");
  for (size_t i = 0; i < text->more.size(); ++i)
    check_prompt(text->more[i], indexed("prompt", i + 1));
}

}  // namespace sluice::server
