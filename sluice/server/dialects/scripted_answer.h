#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sluice/server/dialects/dialect.h"

namespace sluice::server::testing {

/// The request as `dialect` reads it; Refusals go through.
inline Asked read(const Dialect& dialect, const std::string& json) {
  const ReadOptions options;
  return dialect.read(parse_body(json, options.limits), options);
}

/// What it is refused with; one of status 0 when it is not.
inline Refusal refusal_of(const Dialect& dialect, const std::string& json) {
  try {
    read(dialect, json);
  } catch (const Refusal& refusal) {
    return refusal;
  }
  return {0, "was not refused"};
}

inline Head head() {
  Head head{.id = "ID", .created = 1700000000, .model = "m"};
  head.usage = {.prompt_tokens = 10, .cached_tokens = 4};
  return head;
}

inline Usage usage() {
  return {.prompt_tokens = 10,
          .cached_tokens = 4,
          .completion_tokens = 5,
          .reasoning_tokens = 2,
          .queued_seconds = 0.25,
          .load_seconds = 0,
          .prefill_seconds = 0.5,
          .decode_seconds = 1};
}

inline Piece text(std::string text, int choice = 0) {
  return {.kind = Piece::Kind::text, .choice = choice, .text = std::move(text)};
}
inline Piece reasoning(std::string text) {
  return {.kind = Piece::Kind::reasoning, .text = std::move(text)};
}
inline Piece tool_begin(int tool, std::string name) {
  return {.kind = Piece::Kind::tool_begin,
          .tool = tool,
          .tool_id = "T" + std::to_string(tool),
          .tool_name = std::move(name)};
}
inline Piece arguments(int tool, std::string text) {
  return {.kind = Piece::Kind::tool_arguments, .text = std::move(text), .tool = tool};
}
inline Piece tool_end(int tool) { return {.kind = Piece::Kind::tool_end, .tool = tool}; }

/// Two calls: f({"a":1}) in two pieces, g() without arguments.
inline std::vector<Piece> two_calls() {
  return {tool_begin(0, "f"), arguments(0, "{\"a\""), arguments(0, ":1}"),
          tool_end(0),        tool_begin(1, "g"),     tool_end(1)};
}

/// A piece "a" with its token's log probability, and "b" second best.
inline Piece scored() {
  Piece piece = text("a");
  piece.tokens = {{.id = 7,
                   .bytes = "a",
                   .logprob = -0.5F,
                   .top = {{.id = 7, .bytes = "a", .logprob = -0.5F},
                           {.id = 8, .bytes = "b", .logprob = -1.5F}}}};
  return piece;
}

/// All that the writer says of these pieces.
inline std::string told(Writer& writer, const std::vector<Piece>& pieces,
                        const std::vector<Ending>& endings = {{}}) {
  std::string out;
  writer.begin(head(), out);
  for (const Piece& piece : pieces) writer.piece(piece, out);
  for (const Ending& ending : endings) writer.end(ending, out);
  writer.finish(usage(), out);
  return out;
}

inline std::string told(const Dialect& dialect, const std::string& request,
                        const std::vector<Piece>& pieces,
                        const std::vector<Ending>& endings = {{}}) {
  return told(*read(dialect, request).writer, pieces, endings);
}

/// What is told when it fails behind `pieces`.
inline std::string told_failure(const Dialect& dialect, const std::string& request,
                                const std::vector<Piece>& pieces, const Refusal& refusal) {
  const auto writer = read(dialect, request).writer;
  std::string out;
  writer->begin(head(), out);
  for (const Piece& piece : pieces) writer->piece(piece, out);
  writer->fail(refusal, out);
  return out;
}

struct Event {
  std::string name = {};
  Json data = {};
};

/// The events of a stream; [DONE] is one without data. Throws for what is no event.
inline std::vector<Event> events(std::string_view stream) {
  std::vector<Event> list;
  while (!stream.empty()) {
    const size_t end = stream.find("\n\n");
    if (end == std::string_view::npos) throw std::runtime_error("an event does not end");
    std::string_view lines = stream.substr(0, end);
    stream.remove_prefix(end + 2);
    Event event;
    if (lines.starts_with("event: ")) {
      event.name = lines.substr(7, lines.find('\n') - 7);
      lines.remove_prefix(lines.find('\n') + 1);
    }
    if (!lines.starts_with("data: ")) throw std::runtime_error("no data: " + std::string(lines));
    lines.remove_prefix(6);
    if (lines != "[DONE]") event.data = Json::parse(lines);
    list.push_back(std::move(event));
  }
  return list;
}

}  // namespace sluice::server::testing
