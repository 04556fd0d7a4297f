#include <fmt/format.h>

#include <utility>

#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"
#include "sluice/server/dialects/gathered.h"
#include "sluice/server/dialects/lmstudio.h"
#include "sluice/server/dialects/openai_chat.h"
#include "sluice/server/dialects/openai_stream.h"
#include "sluice/server/dialects/telling.h"

namespace sluice::server {
namespace {

using Kind = Piece::Kind;

class ChatStream : public OpenAiStream {
 public:
  ChatStream(const Ask& ask, ChatShape shape, bool with_usage)
      : OpenAiStream(shape, with_usage), n_(ask.n), arguments_came_(static_cast<size_t>(ask.n)) {}

  bool tells_calls_as_they_come() const override { return true; }

  void begin(const Head& head, std::string& out) override {
    begin_chunks("chatcmpl-" + head.id, "chat.completion.chunk", head);
    // Readers append choices in the order in which they first see them.
    for (int i = 0; i < n_; ++i) write(out, i, {{"role", "assistant"}, {"content", ""}});
  }

  void piece(const Piece& piece, std::string& out) override {
    auto arguments_came = arguments_came_.at(static_cast<size_t>(piece.choice));
    switch (piece.kind) {
      case Kind::text:
        if (piece.text.empty() && piece.tokens.empty()) return;
        return write(out, piece.choice, {{"content", piece.text}}, &piece.tokens);
      case Kind::reasoning:
        if (piece.text.empty()) return;
        return write(out, piece.choice, {{"reasoning_content", piece.text}});
      case Kind::tool_begin:
        arguments_came = false;
        return write_call(out, piece,
                          {{"id", "call_" + piece.tool_id},
                           {"type", "function"},
                           {"function", {{"name", piece.tool_name}, {"arguments", ""}}}});
      case Kind::tool_arguments:
        if (!piece.text.empty()) arguments_came = true;
        return write_call(out, piece, {{"function", {{"arguments", piece.text}}}});
      case Kind::tool_end:
        if (arguments_came) return;
        return write_call(out, piece, {{"function", {{"arguments", kNoArguments}}}});
    }
  }

  void end(const Ending& ending, std::string& out) override {
    write(out, ending.choice, Json::object(), nullptr, openai_finish_reason(ending));
    note_ending(ending);
  }

 private:
  void write(std::string& out, int choice, Json delta,
             const std::vector<ScoredToken>* tokens = nullptr,
             std::string_view finished = {}) const {
    const bool scored = tokens && !tokens->empty();
    write_choice(out, {{"index", choice},
                       {"delta", std::move(delta)},
                       {"logprobs", scored ? chat_logprobs(*tokens) : Json()},
                       {"finish_reason", finished.empty() ? Json() : Json(finished)}});
  }

  void write_call(std::string& out, const Piece& piece, Json call) const {
    Json indexed{{"index", piece.tool}};
    indexed.update(call);
    write(out, piece.choice, {{"tool_calls", Json::array({std::move(indexed)})}});
  }

  int n_;
  std::vector<bool> arguments_came_;  // of each answer's call that is being told
};

Json message_of(const Gathered::Choice& choice) {
  Json calls = Json::array();
  for (const auto& part : choice.parts) {
    if (part.kind != Kind::tool_begin) continue;
    calls.push_back({{"id", "call_" + part.tool_id},
                     {"type", "function"},
                     {"function", {{"name", part.tool_name}, {"arguments", part.text}}}});
  }
  std::string text = choice.text();
  const bool only_calls = text.empty() && !calls.empty();
  Json message{{"role", "assistant"},
               {"content", only_calls ? Json() : Json(std::move(text))},
               {"refusal", nullptr}};
  if (std::string reasoning = choice.reasoning(); !reasoning.empty()) {
    message["reasoning_content"] = std::move(reasoning);
  }
  if (!calls.empty()) message["tool_calls"] = std::move(calls);
  return message;
}

std::string chat_body(const Gathered& answer, bool with_logprobs, ChatShape shape) {
  Json choices = Json::array();
  for (size_t i = 0; i < answer.choices.size(); ++i) {
    const auto& choice = answer.choices[i];
    choices.push_back({{"index", i},
                       {"message", message_of(choice)},
                       {"logprobs", with_logprobs ? chat_logprobs(choice.tokens()) : Json()},
                       {"finish_reason", openai_finish_reason(choice.ending)}});
  }
  Json body{{"id", "chatcmpl-" + answer.head.id}, {"object", "chat.completion"},
            {"created", answer.head.created},     {"model", answer.head.model},
            {"choices", std::move(choices)},      {"usage", openai_usage(answer.usage)},
            {"timings", timings(answer.usage)}};
  if (shape == ChatShape::lmstudio)
    add_lmstudio(body, answer.head, answer.usage, answer.choices.front().ending);
  return dump(body);
}

}  // namespace

std::unique_ptr<Writer> openai_chat_writer(const Ask& ask, ChatShape shape, bool with_usage) {
  if (ask.stream) return std::make_unique<ChatStream>(ask, shape, with_usage);
  const bool with_logprobs = ask.top_logprobs.has_value();
  return std::make_unique<WholeWriter>(ask.n, openai_error, [=](const Gathered& answer) {
    return chat_body(answer, with_logprobs, shape);
  });
}

std::unique_ptr<Writer> openai_count_writer(std::string_view object) {
  return std::make_unique<WholeWriter>(
      1, openai_error, [name = std::string(object)](const Gathered& answer) {
        return dump({{"object", name}, {"input_tokens", answer.head.usage.prompt_tokens}});
      });
}

std::unique_ptr<Writer> rendered_writer() {
  return std::make_unique<WholeWriter>(1, openai_error, [](const Gathered& answer) {
    return dump({{"prompt", answer.choices.front().text()}});
  });
}

}  // namespace sluice::server
