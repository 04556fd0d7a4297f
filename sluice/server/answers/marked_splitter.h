#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/server/answers/json_end.h"
#include "sluice/server/answers/splitter.h"
#include "sluice/server/answers/tool_calls.h"
#include "sluice/server/ask.h"

namespace sluice::server {

/// Of models that mark reasoning and calls in their text. A marker, and what may become one, is held back; so is a call
/// until it ends, since one that does not parse is text. White space around reasoning and around calls is dropped.
///   text -> reasoning -> text
///   text -> call, held back -> behind_call -> text
///           call, told as it comes: -> arguments -> call_rest -> behind_call -> text
class MarkedSplitter : public Splitter {
 public:
  explicit MarkedSplitter(Markup markup);

  std::vector<Piece> push(std::string_view text) override;
  std::vector<Piece> finish() override;
  bool in_reasoning() const override { return mode_ == Mode::reasoning; }
  int n_calls() const override { return calls_.n_calls(); }

 private:
  enum class Mode { text, reasoning, call, arguments, call_rest, behind_call };
  struct Found {
    size_t at = std::string::npos, size = 0;
    const CallFormat* format = nullptr;  // null: reasoning begins
  };

  bool step(std::vector<Piece>& pieces);
  bool step_text(std::vector<Piece>& pieces);
  bool step_reasoning(std::vector<Piece>& pieces);
  bool step_call(std::vector<Piece>& pieces);
  bool step_arguments(std::vector<Piece>& pieces);
  bool step_call_rest(std::vector<Piece>& pieces);
  bool step_behind_call();
  Found find_marker() const;
  void begin_call(const CallFormat& format);
  std::optional<size_t> body_end();
  std::optional<size_t> marked_end();
  std::optional<size_t> json_end();
  void end_call(size_t body, bool ended, std::vector<Piece>& pieces);
  bool begin_arguments(std::vector<Piece>& pieces);
  void say(Piece::Kind kind, std::string_view text, std::vector<Piece>& pieces);
  void say_all_but(size_t keep, Piece::Kind kind, std::vector<Piece>& pieces);
  void leave_call();

  const Markup markup_;
  std::vector<std::string_view> begins_;  // all markers that may come in text
  Mode mode_ = Mode::text;
  std::string held_;   // not yet understood
  std::string space_;  // white space, said if more follows it
  bool drops_space_;   // white space goes until something else comes
  bool said_text_ = false;
  CallPieces calls_;
  const CallFormat* format_ = nullptr;  // of the call
  JsonEnd json_;                        // over the call's body,
  size_t scanned_ = 0;                  // of which so much was looked at
  bool may_come_ = false;               // the call may be told as it comes
};

}  // namespace sluice::server
