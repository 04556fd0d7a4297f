#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "sluice/cli/chat_partner.h"

namespace sluice::cli {

/// The message of {"error": {"message"}} or {"error": "text"}; empty without one.
std::string error_of(const nlohmann::ordered_json& body);

/// Reads what a server answers to a chat of OpenAI's, as it comes: a stream of events, or an error as one text. Throws
/// Error(io) for what is no such stream, and for more than an answer can be.
class AnswerStream {
 public:
  explicit AnswerStream(const std::function<void(std::string_view)>& on_text) : on_text_(on_text) {}

  void push(std::string_view bytes);
  bool done() const { return done_; }
  const ChatAnswer& answer() const { return answer_; }
  /// What came where no stream did.
  const std::string& whole() const { return whole_; }

 private:
  void take_line(std::string_view line);
  void take_chunk(const nlohmann::ordered_json& chunk);
  void say(const std::string& text);

  const std::function<void(std::string_view)>& on_text_;
  std::string line_, whole_;
  bool is_stream_ = false, done_ = false;
  ChatAnswer answer_;
};

}  // namespace sluice::cli
