#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/server/answers/json_end.h"
#include "sluice/server/answers/tool_calls.h"
#include "sluice/server/ask.h"

namespace sluice::server {

/// What an answer's text may hold beside plain text.
struct Markup {
  /// Markers around reasoning: {"<think>", "</think>"}; empty: there is none.
  std::string think_begin = {}, think_end = {};
  bool calls_tools = false;  ///< with call_formats()
  bool bare_calls = false;   ///< with bare_call_format() too, of tools that are offered:
  std::vector<std::string> tool_names = {};
  bool begins_in_reasoning = false;  ///< the prompt ends with think_begin
  /// Calls in JSON are told as they come, once their name is known: their arguments are what the model wrote, and may
  /// end anywhere.
  bool calls_as_they_come = false;
};

/// Cuts a model's text into pieces of an answer. However the text is cut into pushes, what the pieces say is the
/// same: a marker, and what may become one, is held back; so is a call until it ends, since one that does not parse
/// is text. White space around reasoning and around calls is dropped.
///   text -> reasoning -> text
///   text -> call, held back -> behind_call -> text
///           call, told as it comes: -> arguments -> call_rest -> behind_call -> text
class Splitter {
 public:
  explicit Splitter(Markup markup);
  Splitter(const Splitter&) = delete;
  Splitter& operator=(const Splitter&) = delete;

  std::vector<Piece> push(std::string_view text);
  /// The rest: a call that has not ended is text.
  std::vector<Piece> finish();

  bool in_reasoning() const { return mode_ == Mode::reasoning; }
  bool in_call() const { return mode_ != Mode::text && mode_ != Mode::reasoning; }
  int n_calls() const { return n_calls_; }
  /// Text that waits for what follows it.
  size_t held_bytes() const { return held_.size() + space_.size(); }

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
  bool is_offered(const std::string& name) const;
  void say(Piece::Kind kind, std::string_view text, std::vector<Piece>& pieces);
  void say_all_but(size_t keep, Piece::Kind kind, std::vector<Piece>& pieces);
  void say_calls(std::vector<ToolCall> calls, std::vector<Piece>& pieces);
  void say_name(std::string name, std::vector<Piece>& pieces);
  Piece of_call(Piece::Kind kind, std::string text = {}) const;
  void leave_call();

  const Markup markup_;
  std::vector<std::string_view> begins_;  // all markers that may come in text
  Mode mode_ = Mode::text;
  std::string held_;   // not yet understood
  std::string space_;  // white space, said if more follows it
  bool drops_space_;   // white space goes until something else comes
  bool said_text_ = false;
  int n_calls_ = 0;
  const CallFormat* format_ = nullptr;  // of the call
  JsonEnd json_;                        // over the call's body,
  size_t scanned_ = 0;                  // of which so much was looked at
  bool may_come_ = false;               // the call may be told as it comes
  Piece call_;                          // that is being told: its number, id and name
};

}  // namespace sluice::server
