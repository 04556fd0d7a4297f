#include <algorithm>
#include <array>

#include "sluice/server/dialects/conversation.h"
#include "sluice/server/dialects/format.h"
#include "sluice/server/dialects/openai_chat.h"
#include "sluice/server/dialects/openai_fields.h"
#include "sluice/server/dialects/responses.h"
#include "sluice/server/dialects/sampling.h"

namespace sluice::server {
namespace {

constexpr auto kRefused = std::to_array<Refused>({
    {"conversation", "conversations are not kept here; send the whole input"},
    {"moderation", "there is no moderation here"},
    {"prompt", "prompt templates are not kept here; send instructions and input"},
});

void read_logprobs(Fields& body, Ask& ask, const Limits& limits) {
  const auto top = body.integer("top_logprobs", 0, limits.top_logprobs);
  bool wanted = top && *top > 0;
  const Json* include = body.array("include", 64);
  for (size_t i = 0; include && i < include->size(); ++i) {
    wanted =
        wanted || to_text((*include)[i], indexed("include", i)) == "message.output_text.logprobs";
  }
  if (wanted) ask.top_logprobs = static_cast<int>(top.value_or(0));
}

void read_text(Fields& body, Ask& ask, const Limits& limits) {
  auto text = body.object("text");
  if (!text) return;
  if (auto format = text->object("format")) read_flat_format(*format, ask, limits);
  text->any("verbosity");
  text->finish();
}

/// What a response repeats, with the values that hold where the request has none.
Json echo_of(const Json& json, const Ask& ask, bool stored) {
  const auto given = [&](const char* name, const Json& otherwise) {
    const auto found = json.find(name);
    return found == json.end() || found->is_null() ? otherwise : *found;
  };
  return {{"background", false},
          {"instructions", given("instructions", nullptr)},
          {"max_output_tokens", given("max_output_tokens", nullptr)},
          {"metadata", given("metadata", Json::object())},
          {"parallel_tool_calls", given("parallel_tool_calls", true)},
          {"previous_response_id", given("previous_response_id", nullptr)},
          {"reasoning", given("reasoning", {{"effort", nullptr}, {"summary", nullptr}})},
          {"service_tier", "default"},
          {"store", stored},
          {"temperature", ask.sampling.temperature},
          {"text", given("text", {{"format", {{"type", "text"}}}})},
          {"tool_choice", given("tool_choice", "auto")},
          {"tools", given("tools", Json::array())},
          {"top_logprobs", ask.top_logprobs.value_or(0)},
          {"top_p", ask.sampling.top_p},
          {"truncation", "disabled"}};
}

void read_body(Fields& body, Asked& asked, const ReadOptions& options) {
  Ask& ask = asked.ask;
  auto& chat = std::get<Ask::Chat>(ask.prompt);
  body.refuse(kRefused);
  ask.model = body.text("model").value_or("");  // some of Codex' requests have none
  read_logprobs(body, ask, options.limits);
  // As OpenAI has it, they are kept unless that is not wanted.
  if (body.boolean("store").value_or(true)) asked.kept = std::make_shared<KeptResponse>();
  ask.previous_response = body.text("previous_response_id").value_or("");
  read_openai_neutral(body);
  body.neutral(std::to_array<std::string_view>({"context_management", "max_tool_calls"}));
  body.only("background", {false}, "is not done here: the answer comes in this connection");
  body.only("truncation", {"disabled", "auto"}, "wanted \"disabled\" or \"auto\"");
  if (const auto text = body.text("instructions"); text && !text->empty()) {
    chat.messages.push_back(make_message("system", *text));
    chat.has_instructions = true;
  }
  read_responses_input(body, asked, options.limits);
  read_sampling(body, ask, options);
  read_reasoning(body, chat, options.limits);
  read_text(body, ask, options.limits);
  read_max_tokens(body, {"max_output_tokens"}, 1, ask, options.limits);
  read_stream_options(body);
  ask.stream = body.boolean("stream").value_or(false);
}

Asked read_response(const Json& json, const ReadOptions& options) {
  Asked asked;
  auto& chat = asked.ask.prompt.emplace<Ask::Chat>();
  Fields body(json, "");
  auto tools = read_responses_tools(body, asked, options.limits);
  read_body(body, asked, options);
  body.finish();
  // LM Studio's clients load a model so: {"input": "", "max_output_tokens": 1}.
  const Json* input = body.any("input");
  const bool nothing =
      chat.messages.empty() || (input->is_string() && input->get<std::string>().empty());
  if (nothing && asked.ask.previous_response.empty()) {
    asked.ask.job = Job::load;
  }
  Json echo = echo_of(json, asked.ask, asked.kept != nullptr);
  asked.writer = responses_writer(asked.ask, std::move(echo), std::move(tools), asked.kept);
  return asked;
}

Asked read_tokens(const Json& json, const ReadOptions& options) {
  Asked asked = read_response(json, options);
  asked.ask.job = Job::count;
  asked.ask.stream = false;
  asked.writer = openai_count_writer("response.input_tokens");
  return asked;
}

}  // namespace

const Dialect kOpenAiResponses{"openai-responses", read_response, openai_error};
const Dialect kOpenAiResponsesTokens{"openai-responses-tokens", read_tokens, openai_error};

}  // namespace sluice::server
