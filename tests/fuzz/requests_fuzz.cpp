// A request's body as each API reads it, and what that API then writes of an answer that holds the same bytes.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "require.h"
#include "sluice/server/dialects/dialect.h"

namespace {

using namespace sluice::server;

const std::array kDialects{
    &kOpenAiChat,   &kOpenAiCompletions, &kOpenAiResponses,  &kAnthropicMessages,
    &kOllamaChat,   &kOllamaGenerate,    &kLlamaCompletion,  &kLlamaInfill,
    &kLmStudioChat, &kAnthropicTokens,   &kOpenAiChatTokens, &kLlamaApplyTemplate,
};

size_t depth_of(const Json& value) {
  size_t deepest = 0;
  for (const Json& item : value) {
    if (item.is_structured()) deepest = std::max(deepest, depth_of(item));
  }
  return deepest + 1;
}

bool is_json(std::string_view text) { return Json::accept(text); }

/// Events of "event: NAME" and "data: JSON" lines, and comments, each with an empty line behind it.
void check_events(std::string_view stream) {
  while (!stream.empty()) {
    const size_t end = stream.find("\n\n");
    require(end != stream.npos, "an event ends with an empty line");
    std::string_view event = stream.substr(0, end);
    stream.remove_prefix(end + 2);
    if (event.starts_with(": ")) {
      require(event.find('\n') == event.npos, "a comment is one line");
      continue;
    }
    if (event.starts_with("event: "))
      event.remove_prefix(std::min(event.find('\n') + 1, event.size()));
    require(event.starts_with("data: "), "an event has data");
    event.remove_prefix(6);
    require(event.find('\n') == event.npos && event.find('\r') == event.npos, "data are one line");
    require(event == "[DONE]" || is_json(event), "data are JSON");
  }
}

void check_lines(std::string_view stream) {
  while (!stream.empty()) {
    const size_t end = stream.find('\n');
    require(end != stream.npos && is_json(stream.substr(0, end)), "each line is JSON");
    stream.remove_prefix(end + 1);
  }
}

Piece piece(Piece::Kind kind, int choice, std::string text) {
  return {.kind = kind,
          .choice = choice,
          .text = std::move(text),
          .tool_id = "T0",
          .tool_name = "f",
          .tokens = {{.id = 1, .bytes = "\xE2\x80", .logprob = -1.0F}}};
}

std::string told(const Asked& asked, const std::string& text) {
  using Kind = Piece::Kind;
  std::string out;
  asked.writer->begin({.id = "ID", .created = 1, .model = text}, out);
  if (asked.ask.job == Job::answer) {
    for (int i = 0; i < asked.ask.n; ++i) {
      for (const Kind kind : {Kind::reasoning, Kind::text, Kind::tool_begin, Kind::tool_arguments,
                              Kind::tool_end, Kind::text})
        asked.writer->piece(piece(kind, i, text), out);
      asked.writer->end({.choice = i, .called_tools = true, .stop_string = text}, out);
    }
  }
  out += asked.writer->keep_alive();
  asked.writer->finish({.prompt_tokens = 1, .completion_tokens = 1}, out);
  return out;
}

void check(const Asked& asked, const std::string& out) {
  const std::string_view type = asked.writer->content_type();
  if (type == "text/event-stream") {
    check_events(out);
  } else if (type == "application/x-ndjson") {
    check_lines(out);
  } else {
    require(is_json(out), "an answer is JSON");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Dialect& dialect = *kDialects[data[0] % kDialects.size()];
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const ReadOptions options;
  try {
    const Json json = parse_body(body, options.limits);
    require(depth_of(json) <= options.limits.json.depth, "levels are bounded");
    const Asked asked = dialect.read(json, options);
    require(asked.ask.n >= 1 && asked.ask.n <= options.limits.n, "answers are bounded");
    check(asked, told(asked, body.substr(0, 64)));
  } catch (const Refusal& refusal) {
    require(refusal.status >= 400 && refusal.status < 500, "a wrong request is the client's fault");
    require(is_json(dialect.error_body(refusal, "req_1")), "an error is JSON");
  }
  return 0;
}
