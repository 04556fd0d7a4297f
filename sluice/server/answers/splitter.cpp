#include "sluice/server/answers/splitter.h"

#include <algorithm>
#include <utility>

#include "sluice/server/answers/answer_id.h"
#include "sluice/server/answers/channel_splitter.h"
#include "sluice/server/answers/marked_splitter.h"

namespace sluice::server {

bool Markup::offers(std::string_view tool) const {
  return std::ranges::find(tool_names, tool) != tool_names.end();
}

std::unique_ptr<Splitter> make_splitter(Markup markup) {
  if (markup.has_channels) return std::make_unique<ChannelSplitter>(std::move(markup));
  return std::make_unique<MarkedSplitter>(std::move(markup));
}

void CallPieces::begin(std::string name, std::vector<Piece>& pieces) {
  call_.tool = n_calls_++;
  call_.tool_id = new_id();
  call_.tool_name = std::move(name);
  pieces.push_back(of(Piece::Kind::tool_begin));
}

void CallPieces::add(std::string arguments, std::vector<Piece>& pieces) const {
  pieces.push_back(of(Piece::Kind::tool_arguments, std::move(arguments)));
}

void CallPieces::end(std::vector<Piece>& pieces) const {
  pieces.push_back(of(Piece::Kind::tool_end));
}

void CallPieces::whole(ToolCall call, std::vector<Piece>& pieces) {
  begin(std::move(call.name), pieces);
  add(std::move(call.arguments), pieces);
  end(pieces);
}

Piece CallPieces::of(Piece::Kind kind, std::string text) const {
  Piece piece = call_;
  piece.kind = kind;
  piece.text = std::move(text);
  return piece;
}

}  // namespace sluice::server
