#include <utility>

#include "sluice/server/dialects/anthropic.h"
#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/errors.h"
#include "sluice/server/dialects/fields.h"
#include "sluice/server/dialects/gathered.h"
#include "sluice/server/dialects/telling.h"

namespace sluice::server {
namespace {

using Kind = Piece::Kind;

/// input_tokens leaves out what was read from the cache.
Json usage_of(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.completion_tokens}};
}

std::string_view stop_reason(const Ending& ending) {
  using Reason = engine::FinishReason;
  switch (ending.reason) {
    case Reason::max_tokens:
      return "max_tokens";
    case Reason::context_full:
      return "model_context_window_exceeded";
    case Reason::stop_string:
      return "stop_sequence";
    default:
      return ending.called_tools ? "tool_use" : "end_turn";
  }
}

Json stop_sequence(const Ending& ending) {
  const bool stopped = ending.reason == engine::FinishReason::stop_string;
  return stopped ? Json(ending.stop_string) : Json();
}

Json message_of(const Head& head, Json content) {
  return {{"id", "msg_" + head.id},
          {"type", "message"},
          {"role", "assistant"},
          {"model", head.model},
          {"content", std::move(content)}};
}

/// One block is open at most, and has the number of those before it; a piece of another kind closes it.
class AnthropicStream : public Writer {
 public:
  const char* content_type() const override { return kEventStream; }
  bool tells_calls_as_they_come() const override { return true; }
  std::string keep_alive() const override {
    std::string out;
    write_event(out, {{"type", "ping"}}, "ping");
    return out;
  }

  void begin(const Head& head, std::string& out) override {
    Json message = message_of(head, Json::array());
    message["stop_reason"] = nullptr;
    message["stop_sequence"] = nullptr;
    message["usage"] = usage_of(head.usage);
    write(out, {{"type", "message_start"}, {"message", std::move(message)}});
    out += keep_alive();
  }

  void piece(const Piece& piece, std::string& out) override {
    switch (piece.kind) {
      case Kind::text:
        if (piece.text.empty()) return;
        open(out, Kind::text, {{"type", "text"}, {"text", ""}});
        return write_delta(out, {{"type", "text_delta"}, {"text", piece.text}});
      case Kind::reasoning:
        if (piece.text.empty()) return;
        open(out, Kind::reasoning, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
        return write_delta(out, {{"type", "thinking_delta"}, {"thinking", piece.text}});
      case Kind::tool_begin:
        close(out);
        return open(out, Kind::tool_begin,
                    {{"type", "tool_use"},
                     {"id", "toolu_" + piece.tool_id},
                     {"name", piece.tool_name},
                     {"input", Json::object()}});
      case Kind::tool_arguments:
        if (piece.text.empty()) return;
        return write_delta(out, {{"type", "input_json_delta"}, {"partial_json", piece.text}});
      case Kind::tool_end:
        return close(out);
    }
  }

  void end(const Ending& ending, std::string& out) override {
    close(out);
    ending_ = ending;
  }

  void finish(const Usage& usage, std::string& out) override {
    write(out,
          {{"type", "message_delta"},
           {"delta",
            {{"stop_reason", stop_reason(ending_)}, {"stop_sequence", stop_sequence(ending_)}}},
           {"usage", usage_of(usage)}});
    write(out, {{"type", "message_stop"}});
  }

  void fail(const Refusal& refusal, std::string& out) override {
    write(out, {{"type", "error"}, {"error", anthropic_error_object(refusal)}});
  }

 private:
  static void write(std::string& out, const Json& event) {
    write_event(out, event, event["type"].get_ref<const std::string&>());
  }

  void write_delta(std::string& out, Json delta) const {
    write(out, {{"type", "content_block_delta"}, {"index", index_}, {"delta", std::move(delta)}});
  }

  void open(std::string& out, Kind kind, Json block) {
    if (is_open_ && kind_ == kind) return;
    close(out);
    is_open_ = true;
    kind_ = kind;
    write(
        out,
        {{"type", "content_block_start"}, {"index", index_}, {"content_block", std::move(block)}});
  }

  void close(std::string& out) {
    if (!is_open_) return;
    if (kind_ == Kind::reasoning)
      write_delta(out, {{"type", "signature_delta"}, {"signature", ""}});
    write(out, {{"type", "content_block_stop"}, {"index", index_}});
    is_open_ = false;
    ++index_;
  }

  bool is_open_ = false;
  Kind kind_ = Kind::text;
  int index_ = 0;  // of the open block, or of the next
  Ending ending_;
};

Json block_of(const Gathered::Part& part) {
  switch (part.kind) {
    case Kind::reasoning:
      return {{"type", "thinking"}, {"thinking", part.text}, {"signature", ""}};
    case Kind::tool_begin: {
      Json input = Json::parse(part.text, nullptr, false);
      return {{"type", "tool_use"},
              {"id", "toolu_" + part.tool_id},
              {"name", part.tool_name},
              {"input", input.is_object() ? std::move(input) : Json::object()}};
    }
    default:
      return {{"type", "text"}, {"text", part.text}};
  }
}

std::string message_body(const Gathered& answer) {
  const auto& choice = answer.choices.front();
  Json content = Json::array();
  for (const auto& part : choice.parts) {
    if (!part.text.empty()) content.push_back(block_of(part));
  }
  Json message = message_of(answer.head, std::move(content));
  message["stop_reason"] = stop_reason(choice.ending);
  message["stop_sequence"] = stop_sequence(choice.ending);
  message["usage"] = usage_of(answer.usage);
  return dump(message);
}

}  // namespace

std::unique_ptr<Writer> anthropic_writer(const Ask& ask) {
  if (ask.stream) return std::make_unique<AnthropicStream>();
  return std::make_unique<WholeWriter>(1, anthropic_error, message_body);
}

std::unique_ptr<Writer> anthropic_count_writer() {
  return std::make_unique<WholeWriter>(1, anthropic_error, [](const Gathered& answer) {
    return dump({{"input_tokens", answer.head.usage.prompt_tokens}});
  });
}

}  // namespace sluice::server
