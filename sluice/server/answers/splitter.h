#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/server/answers/tool_calls.h"
#include "sluice/server/ask.h"

namespace sluice::server {

/// What an answer's text may hold beside plain text.
struct Markup {
  /// Markers around reasoning: {"<think>", "</think>"}; empty: there is none.
  std::string think_begin = {}, think_end = {};
  bool has_channels = false;  ///< messages on channels (ChannelSplitter), and no other markers
  bool calls_tools = false;   ///< with call_formats()
  bool bare_calls = false;    ///< with bare_call_format() too, of tools that are offered:
  std::vector<std::string> tool_names = {};
  TextArguments text_arguments = {};
  bool begins_in_reasoning = false;  ///< the prompt ends with think_begin
  bool begins_in_text = false;       ///< with channels: it ends in a message of text
  /// Calls in JSON are told as they come, once their name is known: their arguments are what the model wrote, and may
  /// end anywhere.
  bool calls_as_they_come = false;

  bool offers(std::string_view tool) const;
};

/// Cuts a model's text into pieces of an answer. However the text is cut into pushes, what the pieces say is the
/// same.
class Splitter {
 public:
  Splitter() = default;
  virtual ~Splitter() = default;
  Splitter(const Splitter&) = delete;
  Splitter& operator=(const Splitter&) = delete;

  virtual std::vector<Piece> push(std::string_view text) = 0;
  /// The rest: a call that has not ended is text.
  virtual std::vector<Piece> finish() = 0;
  virtual bool in_reasoning() const = 0;
  virtual int n_calls() const = 0;
};

std::unique_ptr<Splitter> make_splitter(Markup markup);

/// The pieces of one call after another.
class CallPieces {
 public:
  void begin(std::string name, std::vector<Piece>& pieces);
  void add(std::string arguments, std::vector<Piece>& pieces) const;
  void end(std::vector<Piece>& pieces) const;
  void whole(ToolCall call, std::vector<Piece>& pieces);
  int n_calls() const { return n_calls_; }

 private:
  Piece of(Piece::Kind kind, std::string text = {}) const;
  int n_calls_ = 0;
  Piece call_;  // that is told: its number, id and name
};

}  // namespace sluice::server
