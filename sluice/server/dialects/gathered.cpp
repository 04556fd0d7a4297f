#include "sluice/server/dialects/gathered.h"

#include <utility>

#include "sluice/server/dialects/telling.h"

namespace sluice::server {

std::string Gathered::Choice::joined(Piece::Kind kind) const {
  std::string text;
  for (const Part& part : parts) {
    if (part.kind == kind) text += part.text;
  }
  return text;
}

std::vector<ScoredToken> Gathered::Choice::tokens() const {
  std::vector<ScoredToken> tokens;
  for (const Part& part : parts) {
    if (part.kind == Piece::Kind::text) {
      tokens.insert(tokens.end(), part.tokens.begin(), part.tokens.end());
    }
  }
  return tokens;
}

size_t Gathered::Choice::n_unscored() const {
  size_t n = 0;
  for (const Part& part : parts) {
    if (part.kind != Piece::Kind::text) continue;
    n += part.n_unscored;
    if (!part.tokens.empty()) break;
  }
  return n;
}

void Gathered::add(const Piece& piece) {
  using Kind = Piece::Kind;
  auto& parts = choices.at(static_cast<size_t>(piece.choice)).parts;
  if (piece.kind == Kind::tool_begin) {
    parts.push_back(
        {.kind = Kind::tool_begin, .tool_id = piece.tool_id, .tool_name = piece.tool_name});
  } else if (piece.kind == Kind::tool_arguments) {
    parts.back().text += piece.text;
  } else if (piece.kind == Kind::tool_end) {
    if (parts.back().text.empty()) parts.back().text = kNoArguments;
  } else {
    if (parts.empty() || parts.back().kind != piece.kind) parts.push_back({.kind = piece.kind});
    parts.back().text += piece.text;
    auto& tokens = parts.back().tokens;
    if (tokens.empty() && piece.tokens.empty()) {
      parts.back().n_unscored += n_characters(piece.text);
    }
    tokens.insert(tokens.end(), piece.tokens.begin(), piece.tokens.end());
  }
}

WholeWriter::WholeWriter(int n, TellError error, Tell tell)
    : error_(error), tell_(std::move(tell)) {
  gathered_.choices.resize(static_cast<size_t>(n));
}

void WholeWriter::begin(const Head& head, std::string&) { gathered_.head = head; }

void WholeWriter::piece(const Piece& piece, std::string&) { gathered_.add(piece); }

void WholeWriter::end(const Ending& ending, std::string&) {
  gathered_.choices.at(static_cast<size_t>(ending.choice)).ending = ending;
}

void WholeWriter::finish(const Usage& usage, std::string& out) {
  gathered_.usage = usage;
  out += tell_(gathered_);
}

void WholeWriter::fail(const Refusal& refusal, std::string& out) { out += error_(refusal, ""); }

}  // namespace sluice::server
