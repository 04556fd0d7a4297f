#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sluice/server/ask.h"

namespace sluice::server {

/// An answer gathered to be told whole.
struct Gathered {
  /// Text, reasoning or a call: pieces of one kind that came in turn.
  struct Part {
    Piece::Kind kind = Piece::Kind::text;  ///< text, reasoning; tool_begin for a call
    std::string text = {};                 ///< a call's arguments, "{}" where there came none
    std::string tool_id = {}, tool_name = {};
    std::vector<ScoredToken> tokens = {};
    size_t n_unscored = 0;  ///< characters before the first of the tokens: a prompt's
  };
  struct Choice {
    std::vector<Part> parts = {};
    Ending ending = {};
    std::string text() const { return joined(Piece::Kind::text); }
    std::string reasoning() const { return joined(Piece::Kind::reasoning); }
    std::string joined(Piece::Kind kind) const;
    std::vector<ScoredToken> tokens() const;  ///< of its text
    size_t n_unscored() const;                ///< characters of its text before them
  };
  Head head = {};
  Usage usage = {};
  std::vector<Choice> choices = {};

  void add(const Piece& piece);
};

/// Writes an answer in one go.
class WholeWriter : public Writer {
 public:
  using Tell = std::function<std::string(const Gathered&)>;
  using TellError = std::string (*)(const Refusal&, std::string_view request_id);
  WholeWriter(int n, TellError error, Tell tell);

  const char* content_type() const override { return "application/json"; }
  void begin(const Head& head, std::string& out) override;
  void piece(const Piece& piece, std::string& out) override;
  void end(const Ending& ending, std::string& out) override;
  void finish(const Usage& usage, std::string& out) override;
  void fail(const Refusal& refusal, std::string& out) override;
  std::string keep_alive() const override { return ""; }

 private:
  Gathered gathered_;
  TellError error_;
  Tell tell_;
};

/// What a call's arguments are when no piece of them came: clients parse them.
inline constexpr const char* kNoArguments = "{}";

}  // namespace sluice::server
