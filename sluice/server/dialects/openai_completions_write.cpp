#include <fmt/format.h>

#include <utility>

#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"
#include "sluice/server/dialects/gathered.h"
#include "sluice/server/dialects/lmstudio.h"
#include "sluice/server/dialects/openai_chat.h"
#include "sluice/server/dialects/openai_stream.h"
#include "sluice/server/dialects/telling.h"

namespace sluice::server {
namespace {

/// Completions have no calls and no reasoning: both are text as the model wrote it.
bool is_text(const Piece& piece) {
  return piece.kind == Piece::Kind::text || piece.kind == Piece::Kind::reasoning;
}

/// A token as the key of an object: part of a character is spelled "bytes:\xe2\x80".
std::string token_key(const ScoredToken& token) {
  const std::string shown = shown_token(token);
  if (shown == token.bytes) return shown;
  std::string key = "bytes:";
  for (const char c : token.bytes) key += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return key;
}

/// The form that completions always had: parallel lists. offset: characters before the first token, which it moves on.
Json list_logprobs(const std::vector<ScoredToken>& tokens, size_t& offset) {
  Json lists{{"tokens", Json::array()},
             {"token_logprobs", Json::array()},
             {"top_logprobs", Json::array()},
             {"text_offset", Json::array()}};
  for (const ScoredToken& token : tokens) {
    lists["tokens"].push_back(token_key(token));
    const Json entry = scored_token(token, false);
    lists["token_logprobs"].push_back(entry["logprob"]);
    Json top;
    if (token.logprob) {
      top = Json::object();
      for (const auto& other : token.top) {
        top[token_key(other)] = scored_token(other, false)["logprob"];
      }
    }
    lists["top_logprobs"].push_back(std::move(top));
    lists["text_offset"].push_back(offset);
    offset += n_characters(token.bytes);
  }
  return lists;
}

class CompletionStream : public OpenAiStream {
 public:
  CompletionStream(const Ask& ask, ChatShape shape, bool with_usage)
      : OpenAiStream(shape, with_usage), offsets_(static_cast<size_t>(ask.n_choices())) {}

  void begin(const Head& head, std::string&) override {
    begin_chunks("cmpl-" + head.id, "text_completion", head);
  }

  void piece(const Piece& piece, std::string& out) override {
    if (!is_text(piece) || (piece.text.empty() && piece.tokens.empty())) return;
    size_t& offset = offsets_.at(static_cast<size_t>(piece.choice));
    write(out, piece.choice, piece.text,
          piece.tokens.empty() ? Json() : list_logprobs(piece.tokens, offset), Json());
    if (piece.tokens.empty()) offset += n_characters(piece.text);
  }

  void end(const Ending& ending, std::string& out) override {
    write(out, ending.choice, "", Json(), openai_finish_reason(ending));
    note_ending(ending);
  }

 private:
  void write(std::string& out, int choice, const std::string& text, Json logprobs,
             Json finished) const {
    write_choice(out, {{"index", choice},
                       {"text", text},
                       {"logprobs", std::move(logprobs)},
                       {"finish_reason", std::move(finished)}});
  }

  std::vector<size_t> offsets_;  // of each answer: characters whose tokens were told
};

std::string completion_body(const Gathered& answer, bool with_logprobs, ChatShape shape) {
  Json choices = Json::array();
  for (size_t i = 0; i < answer.choices.size(); ++i) {
    const auto& choice = answer.choices[i];
    std::string text;
    for (const auto& part : choice.parts) text += part.text;
    size_t offset = choice.n_unscored();
    choices.push_back(
        {{"index", i},
         {"text", std::move(text)},
         {"logprobs", with_logprobs ? list_logprobs(choice.tokens(), offset) : Json()},
         {"finish_reason", openai_finish_reason(choice.ending)}});
  }
  Json body{{"id", "cmpl-" + answer.head.id},  {"object", "text_completion"},
            {"created", answer.head.created},  {"model", answer.head.model},
            {"choices", std::move(choices)},   {"usage", openai_usage(answer.usage)},
            {"timings", timings(answer.usage)}};
  if (shape == ChatShape::lmstudio)
    add_lmstudio(body, answer.head, answer.usage, answer.choices.front().ending);
  return dump(body);
}

}  // namespace

std::unique_ptr<Writer> openai_completion_writer(const Ask& ask, ChatShape shape, bool with_usage) {
  if (ask.stream) return std::make_unique<CompletionStream>(ask, shape, with_usage);
  const bool with_logprobs = ask.top_logprobs.has_value();
  return std::make_unique<WholeWriter>(ask.n_choices(), openai_error, [=](const Gathered& answer) {
    return completion_body(answer, with_logprobs, shape);
  });
}

}  // namespace sluice::server
