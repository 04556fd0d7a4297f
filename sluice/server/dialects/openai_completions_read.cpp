#include <array>
#include <cstdint>
#include <iterator>
#include <utility>

#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"
#include "sluice/server/dialects/format.h"
#include "sluice/server/dialects/openai_chat.h"
#include "sluice/server/dialects/openai_fields.h"
#include "sluice/server/dialects/prompt.h"
#include "sluice/server/dialects/sampling.h"

namespace sluice::server {
namespace {

void read_logprobs(Fields& body, Ask& ask, const Limits& limits) {
  const Json* value = body.any("logprobs");
  if (!value) return;
  if (value->is_boolean()) {  // llama-server's
    if (value->get<bool>()) ask.top_logprobs = 0;
    return;
  }
  ask.top_logprobs =
      static_cast<int>(to_integer(*value, body.path("logprobs"), 0, limits.top_logprobs));
}

/// An answer has the shape of a chat's where `as_chat`.
Asked read_completion(const Json& json, const ReadOptions& options, ChatShape shape,
                      bool as_chat = false) {
  Asked asked;
  Ask& ask = asked.ask;
  Fields body(json, "");
  auto& text = ask.prompt.emplace<Ask::Text>();
  read_openai_common(body, ask, options);
  if (!body.has("prompt")) {
    refuse_field("prompt", "is missing, wanted a string or token ids",
                 "missing_required_parameter");
  }
  auto prompts = read_prompts(*body.any("prompt"), "prompt", options.limits.prompts);
  text.prompt = std::move(prompts.front());
  text.more.assign(std::make_move_iterator(prompts.begin() + 1),
                   std::make_move_iterator(prompts.end()));
  text.suffix = body.text("suffix");
  if (text.suffix && text.suffix->empty()) text.suffix.reset();
  text.raw = true;  // who has no template here writes its control tokens
  text.echo = body.boolean("echo").value_or(false);
  read_response_format(body, ask, options.limits);
  read_grammars(body, ask, options.limits);
  read_logprobs(body, ask, options.limits);
  read_max_tokens(body, {"max_tokens", "max_completion_tokens", "n_predict"}, 0, ask,
                  options.limits);
  const bool with_usage = read_stream_options(body);
  if (as_chat) {  // Mistral's
    if (!text.more.empty()) refuse_field("prompt", "is a list, wanted one text");
    if (const auto seed = body.integer("random_seed", 0, INT64_MAX))
      ask.seed = static_cast<uint64_t>(*seed);
  }
  body.finish();
  asked.writer = as_chat ? openai_chat_writer(ask, shape, with_usage)
                         : openai_completion_writer(ask, shape, with_usage);
  return asked;
}

Asked read_openai(const Json& json, const ReadOptions& options) {
  return read_completion(json, options, ChatShape::openai);
}

Asked read_mistral(const Json& json, const ReadOptions& options) {
  return read_completion(json, options, ChatShape::openai, /*as_chat=*/true);
}

Asked read_lmstudio(const Json& json, const ReadOptions& options) {
  return read_completion(json, options, ChatShape::lmstudio);
}

}  // namespace

const Dialect kOpenAiCompletions{"openai-completions", read_openai, openai_error};
const Dialect kMistralFim{"mistral-fim", read_mistral, openai_error};
const Dialect kLmStudioCompletions{"lmstudio-completions", read_lmstudio, openai_error};

}  // namespace sluice::server
