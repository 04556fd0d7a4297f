#pragma once

#include <random>
#include <string>
#include <vector>

#include "sluice/server/answers/splitter.h"

namespace sluice::server {

/// What pieces say, however it is cut: "text(Hi)reasoning(so)call(f,{})".
inline std::string told(const std::vector<Piece>& pieces) {
  std::string all, open;
  for (const Piece& piece : pieces) {
    std::string kind;
    switch (piece.kind) {
      case Piece::Kind::text:
        kind = "text(";
        break;
      case Piece::Kind::reasoning:
        kind = "reasoning(";
        break;
      case Piece::Kind::tool_begin:
        all += (open.empty() ? "" : ")") + std::string("call(") + piece.tool_name + ",";
        open = "call";
        continue;
      case Piece::Kind::tool_arguments:
        all += piece.text;
        continue;
      case Piece::Kind::tool_end:
        all += ")";
        open.clear();
        continue;
    }
    if (open != kind) all += (open.empty() ? "" : ")") + kind;
    open = kind;
    all += piece.text;
  }
  return all + (open.empty() ? "" : ")");
}

/// What all of an answer says that comes in these pushes.
inline std::string told(const Markup& markup, const std::vector<std::string>& pushes) {
  const auto splitter = make_splitter(markup);
  std::vector<Piece> all;
  const auto add = [&](std::vector<Piece> more) {
    all.insert(all.end(), more.begin(), more.end());
  };
  for (const std::string& text : pushes) add(splitter->push(text));
  add(splitter->finish());
  return told(all);
}

/// The same text in pushes that end at random.
inline std::vector<std::string> cut_at_random(const std::string& text, std::mt19937& random) {
  std::vector<std::string> pushes(1);
  for (const char c : text) {
    pushes.back() += c;
    if (random() % 3 == 0) pushes.emplace_back();
  }
  return pushes;
}

}  // namespace sluice::server
