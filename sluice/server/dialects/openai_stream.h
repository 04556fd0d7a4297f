#pragma once

#include <string>
#include <string_view>

#include "sluice/server/ask.h"
#include "sluice/server/dialects/openai_chat.h"

namespace sluice::server {

/// What the streams of chat/completions and completions share: events whose chunks differ in nothing but `choices` and
/// the last one's usage, since readers put them together by id and drop those of another object. A stream ends with the
/// usage, where it is wanted, and [DONE], or with an error.
class OpenAiStream : public Writer {
 public:
  OpenAiStream(ChatShape shape, bool with_usage) : shape_(shape), with_usage_(with_usage) {}

  const char* content_type() const override;
  std::string keep_alive() const override;
  void finish(const Usage& usage, std::string& out) override;
  void fail(const Refusal& refusal, std::string& out) override;

 protected:
  /// id: with its prefix.
  void begin_chunks(std::string id, std::string_view object, const Head& head);
  void write_choice(std::string& out, Json choice) const;
  void note_ending(const Ending& ending) { last_ending_ = ending; }

 private:
  ChatShape shape_;
  bool with_usage_;
  Json chunk_;
  Head head_;
  Ending last_ending_;
};

}  // namespace sluice::server
