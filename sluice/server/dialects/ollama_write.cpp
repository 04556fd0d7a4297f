#include <cmath>
#include <utility>

#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"
#include "sluice/server/dialects/gathered.h"
#include "sluice/server/dialects/ollama.h"
#include "sluice/server/dialects/telling.h"

namespace sluice::server {
namespace {

using Kind = Piece::Kind;

int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }

Json call_of(const Gathered::Part& call, size_t index) {
  Json arguments = Json::parse(call.text, nullptr, false);
  return {{"id", "call_" + call.tool_id},
          {"function",
           {{"index", index},
            {"name", call.tool_name},
            {"arguments", arguments.is_object() ? std::move(arguments) : Json::object()}}}};
}

Json logprobs_of(const std::vector<ScoredToken>& tokens) {
  Json list = Json::array();
  for (const ScoredToken& token : tokens) list.push_back(scored_token(token));
  return list;
}

/// What stands in a line beside the model and the time.
struct Content {
  std::string text = {}, reasoning = {};
  Json calls = Json::array();
};

Json line_of(const Head& head, OllamaShape shape, Content content) {
  Json line{{"model", head.model}, {"created_at", rfc3339(head.created)}};
  Json message{{"role", "assistant"}};
  Json& holder = shape == OllamaShape::chat ? message : line;
  holder[shape == OllamaShape::chat ? "content" : "response"] = std::move(content.text);
  if (!content.reasoning.empty()) holder["thinking"] = std::move(content.reasoning);
  if (!content.calls.empty()) holder["tool_calls"] = std::move(content.calls);
  if (shape == OllamaShape::chat) line["message"] = std::move(message);
  return line;
}

void add_end(Json& line, const Ending& ending, const Usage& usage) {
  using Reason = engine::FinishReason;
  const bool full = ending.reason == Reason::max_tokens || ending.reason == Reason::context_full;
  line["done"] = true;
  line["done_reason"] = full ? "length" : "stop";
  line["total_duration"] = nanoseconds(usage.queued_seconds + usage.load_seconds +
                                       usage.prefill_seconds + usage.decode_seconds);
  line["load_duration"] = nanoseconds(usage.load_seconds);
  line["prompt_eval_count"] = usage.prompt_tokens;
  line["prompt_eval_duration"] = nanoseconds(usage.prefill_seconds);
  line["eval_count"] = usage.completion_tokens;
  line["eval_duration"] = nanoseconds(usage.decode_seconds);
}

/// One JSON object a line, and nothing else: clients parse every line.
class OllamaStream : public Writer {
 public:
  explicit OllamaStream(OllamaShape shape) : shape_(shape) {}

  const char* content_type() const override { return "application/x-ndjson"; }
  std::string keep_alive() const override { return ""; }
  void begin(const Head& head, std::string&) override { head_ = head; }

  void piece(const Piece& piece, std::string& out) override {
    switch (piece.kind) {
      case Kind::text:
        if (piece.text.empty() && piece.tokens.empty()) return;
        return write(out, {.text = piece.text}, piece.tokens);
      case Kind::reasoning:
        if (piece.text.empty()) return;
        return write(out, {.reasoning = piece.text}, {});
      case Kind::tool_begin:
        call_ = {.tool_id = piece.tool_id, .tool_name = piece.tool_name};
        return;
      case Kind::tool_arguments:
        call_.text += piece.text;
        return;
      case Kind::tool_end:
        return write(out, {.calls = Json::array({call_of(call_, n_calls_++)})}, {});
    }
  }

  void end(const Ending& ending, std::string&) override { ending_ = ending; }

  void finish(const Usage& usage, std::string& out) override {
    Json line = line_of(head_, shape_, {});
    add_end(line, ending_, usage);
    out += dump(line) + "\n";
  }

  void fail(const Refusal& refusal, std::string& out) override {
    out += ollama_error(refusal, "") + "\n";
  }

 private:
  void write(std::string& out, Content content, const std::vector<ScoredToken>& tokens) {
    Json line = line_of(head_, shape_, std::move(content));
    if (!tokens.empty()) line["logprobs"] = logprobs_of(tokens);
    line["done"] = false;
    out += dump(line) + "\n";
  }

  OllamaShape shape_;
  Head head_;
  Gathered::Part call_;
  size_t n_calls_ = 0;
  Ending ending_;
};

std::string whole_body(const Gathered& answer, OllamaShape shape, bool with_logprobs) {
  const auto& choice = answer.choices.front();
  Content content{.text = choice.text(), .reasoning = choice.reasoning()};
  for (const auto& part : choice.parts) {
    if (part.kind == Kind::tool_begin) {
      content.calls.push_back(call_of(part, content.calls.size()));
    }
  }
  Json line = line_of(answer.head, shape, std::move(content));
  if (with_logprobs) line["logprobs"] = logprobs_of(choice.tokens());
  add_end(line, choice.ending, answer.usage);
  return dump(line);
}

std::string loaded_body(const Gathered& answer, OllamaShape shape, const char* reason) {
  Json line = line_of(answer.head, shape, {});
  line["done"] = true;
  line["done_reason"] = reason;
  return dump(line);
}

}  // namespace

std::unique_ptr<Writer> ollama_writer(const Ask& ask, OllamaShape shape) {
  if (ask.job == Job::load || ask.job == Job::unload) {
    const char* reason = ask.job == Job::load ? "load" : "unload";
    return std::make_unique<WholeWriter>(1, ollama_error, [=](const Gathered& answer) {
      return loaded_body(answer, shape, reason);
    });
  }
  if (ask.stream) return std::make_unique<OllamaStream>(shape);
  const bool with_logprobs = ask.top_logprobs.has_value();
  return std::make_unique<WholeWriter>(1, ollama_error, [=](const Gathered& answer) {
    return whole_body(answer, shape, with_logprobs);
  });
}

}  // namespace sluice::server
