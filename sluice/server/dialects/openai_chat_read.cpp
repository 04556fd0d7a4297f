#include <array>

#include "sluice/server/dialects/conversation.h"
#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"
#include "sluice/server/dialects/format.h"
#include "sluice/server/dialects/openai_chat.h"
#include "sluice/server/dialects/openai_fields.h"
#include "sluice/server/dialects/sampling.h"
#include "sluice/server/dialects/tools.h"

namespace sluice::server {
namespace {

constexpr auto kRefused = std::to_array<Refused>({
    {"audio", "answers are text only"},
    {"function_call", "is the old form of tool_choice; send tool_choice"},
    {"functions", "is the old form of tools; send tools"},
    {"web_search_options", "there is no search here"},
    {"moderation", "there is no moderation here"},
});

void read_prediction(Fields& body, Ask& ask) {
  auto prediction = body.object("prediction");
  if (!prediction) return;
  prediction->word("type", {"content"});
  ask.prediction =
      read_text_parts(prediction->any("content"), prediction->path("content"), {"text"});
  prediction->finish();
}

void read_body(Fields& body, Asked& asked, const ReadOptions& options) {
  Ask& ask = asked.ask;
  auto& chat = ask.prompt.emplace<Ask::Chat>();
  body.refuse(kRefused);
  read_openai_common(body, ask, options);
  read_openai_messages(body, "messages", chat, options.limits);
  if (chat.messages.empty()) refuse_field("messages", "is empty, wanted at least one message");
  read_openai_tools(body, chat, asked.warnings, options.limits);
  read_response_format(body, ask, options.limits);
  read_grammars(body, ask, options.limits);
  read_reasoning(body, chat, options.limits);
  read_chat_logprobs(body, ask, options.limits);
  read_max_tokens(body, {"max_completion_tokens", "max_tokens", "n_predict"}, 1, ask,
                  options.limits);
  read_prediction(body, ask);
  body.only("modalities", {Json::array({"text"})}, "answers are text only");
  if (body.boolean("continue_final_message").value_or(false)) chat.continues = true;
  body.any("add_generation_prompt");  // the opposite of the above
  if (chat.continues && chat.messages.back()["role"] != "assistant") {
    refuse_field("continue_final_message", "needs the assistant's message as the last one");
  }
}

Asked read_chat(const Json& json, const ReadOptions& options, ChatShape shape) {
  Asked asked;
  Fields body(json, "");
  read_body(body, asked, options);
  const bool with_usage = read_stream_options(body);
  body.finish();
  asked.writer = openai_chat_writer(asked.ask, shape, with_usage);
  return asked;
}

Asked read_openai_chat(const Json& json, const ReadOptions& options) {
  return read_chat(json, options, ChatShape::openai);
}

Asked read_lmstudio_chat(const Json& json, const ReadOptions& options) {
  return read_chat(json, options, ChatShape::lmstudio);
}

Asked read_tokens(const Json& json, const ReadOptions& options) {
  Asked asked = read_chat(json, options, ChatShape::openai);
  asked.ask.job = Job::count;
  asked.ask.stream = false;
  asked.ask.n = 1;
  asked.writer = openai_count_writer("chat.completion.input_tokens");
  return asked;
}

Asked read_apply_template(const Json& json, const ReadOptions& options) {
  Asked asked = read_chat(json, options, ChatShape::openai);
  asked.ask.job = Job::render;
  asked.ask.stream = false;
  asked.ask.n = 1;
  asked.writer = rendered_writer();
  return asked;
}

}  // namespace

const Dialect kOpenAiChat{"openai-chat", read_openai_chat, openai_error};
const Dialect kOpenAiChatTokens{"openai-chat-tokens", read_tokens, openai_error};
const Dialect kLmStudioChat{"lmstudio-chat", read_lmstudio_chat, openai_error};
const Dialect kLlamaApplyTemplate{"llama-apply-template", read_apply_template, openai_error};

}  // namespace sluice::server
