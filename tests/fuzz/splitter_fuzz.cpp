// A model's text cut into reasoning, calls and text: pieces in their order, and the same however the text comes.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "require.h"
#include "sluice/server/answers/told.h"

namespace {

using namespace sluice::server;

Markup markup_of(uint8_t bits) {
  Markup markup;
  markup.think_begin = "<think>";
  markup.think_end = "</think>";
  markup.has_channels = (bits & 1) != 0;
  markup.calls_tools = (bits & 2) == 0;
  markup.bare_calls = (bits & 4) != 0;
  markup.begins_in_reasoning = (bits & 8) != 0;
  markup.calls_as_they_come = (bits & 16) != 0;
  markup.tool_names = {"f", "g"};
  markup.text_arguments = {{"f", {"a"}}};
  return markup;
}

/// Of a call from its begin to its end nothing else comes; arguments that are told whole are an object.
void check(const std::vector<Piece>& pieces, bool as_they_come) {
  using Kind = Piece::Kind;
  int next = 0;
  bool open = false;
  for (const Piece& piece : pieces) {
    const bool of_call = piece.kind != Kind::text && piece.kind != Kind::reasoning;
    require(of_call || (!open && !piece.text.empty()), "words come between calls");
    if (!of_call) continue;
    require(piece.kind == Kind::tool_begin ? !open && piece.tool == next++ : open,
            "calls begin one after another");
    open = piece.kind != Kind::tool_end;
    if (piece.kind == Kind::tool_arguments && !as_they_come) {
      const Json arguments = Json::parse(piece.text, nullptr, false);
      require(arguments.is_object(), "arguments are an object");
    }
  }
  require(!open, "the last call ends");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const Markup markup = markup_of(data[0]);
  const std::string text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto splitter = make_splitter(markup);
  std::vector<Piece> pieces = splitter->push(text);
  for (Piece& piece : splitter->finish()) pieces.push_back(std::move(piece));
  check(pieces, markup.calls_as_they_come);
  std::vector<std::string> pushes;
  for (size_t at = 0, n = 1 + data[1] % 16; at < text.size(); at += n)
    pushes.push_back(text.substr(at, n));
  require(told(markup, pushes) == told(pieces), "pieces change nothing");
  return 0;
}
