#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/server/answers/json_end.h"
#include "sluice/server/answers/splitter.h"

namespace sluice::server {

/// The markers of models that answer in messages on channels (gpt-oss; OpenAI's harmony format).
struct ChannelMarks {
  static constexpr std::string_view kStart = "<|start|>", kChannel = "<|channel|>",
                                    kConstrain = "<|constrain|>", kMessage = "<|message|>",
                                    kEnd = "<|end|>", kCall = "<|call|>", kReturn = "<|return|>";
  /// A call's recipient begins with it.
  static constexpr std::string_view kFunctions = "functions.";
};

/// Of models that answer in messages on channels:
///   <|channel|>analysis<|message|>REASONING<|end|>
///   <|start|>assistant<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>{...}<|call|>
///   <|start|>assistant<|channel|>final<|message|>TEXT<|return|>
/// The prompt ends before the first channel. What comes without one is text, and so is a call that does not parse, or
/// of a tool that is not offered, with its header.
///   header -> text | reasoning -> header
///          -> call -> (told as it comes: arguments) -> call_rest -> header
class ChannelSplitter : public Splitter {
 public:
  explicit ChannelSplitter(Markup markup)
      : markup_(std::move(markup)), mode_(markup_.begins_in_text ? Mode::text : Mode::header) {}

  std::vector<Piece> push(std::string_view text) override;
  std::vector<Piece> finish() override;
  bool in_reasoning() const override { return mode_ == Mode::reasoning; }
  int n_calls() const override { return calls_.n_calls(); }

 private:
  enum class Mode { header, text, reasoning, call, arguments, call_rest };

  bool step(std::vector<Piece>& pieces);
  bool step_header();
  void begin_message(std::string_view header);
  bool step_words(Piece::Kind kind, std::vector<Piece>& pieces);
  bool step_call(std::vector<Piece>& pieces);
  bool step_arguments(std::vector<Piece>& pieces);
  bool step_call_rest();
  void call_is_text();
  bool end_message();
  bool drop_end();
  void say(Piece::Kind kind, std::string_view text, std::vector<Piece>& pieces);

  const Markup markup_;
  Mode mode_;
  std::string held_;     // not yet understood
  std::string header_;   // of the message, with its marks
  std::string tool_;     // that it calls
  JsonEnd json_;         // over the call's arguments,
  size_t scanned_ = 0;   // of which so much was looked at
  bool begins_ = false;  // a message's first words are to come
  bool said_text_ = false, said_reasoning_ = false;
  CallPieces calls_;
};

}  // namespace sluice::server
