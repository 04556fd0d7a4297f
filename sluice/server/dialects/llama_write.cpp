#include <algorithm>
#include <utility>

#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/errors.h"
#include "sluice/server/dialects/fields.h"
#include "sluice/server/dialects/gathered.h"
#include "sluice/server/dialects/llama.h"
#include "sluice/server/dialects/telling.h"

namespace sluice::server {
namespace {

std::string_view stop_type(const Ending& ending) {
  using Reason = engine::FinishReason;
  switch (ending.reason) {
    case Reason::max_tokens:
    case Reason::context_full:
      return "limit";
    case Reason::stop_string:
      return "word";
    default:
      return "eos";
  }
}

Json ids_of(const std::vector<ScoredToken>& tokens) {
  Json ids = Json::array();
  for (const ScoredToken& token : tokens) ids.push_back(token.id);
  return ids;
}

Json probabilities(const std::vector<ScoredToken>& tokens) {
  Json list = Json::array();
  for (const ScoredToken& token : tokens) {
    Json entry = scored_token(token);
    entry["id"] = token.id;
    for (size_t i = 0; i < token.top.size(); ++i) {
      entry["top_logprobs"][i]["id"] = token.top[i].id;
    }
    list.push_back(std::move(entry));
  }
  return list;
}

/// The object at the end, whose `content` is all of it or, in a stream, nothing.
Json last_object(const Head& head, std::string content, const Ending& ending, const Usage& usage) {
  return {{"index", 0},
          {"content", std::move(content)},
          {"tokens", Json::array()},
          {"id_slot", 0},
          {"stop", true},
          {"model", head.model},
          {"tokens_predicted", usage.completion_tokens},
          {"tokens_evaluated", usage.prompt_tokens},
          {"tokens_cached", usage.cached_tokens},
          {"truncated", false},
          {"stop_type", stop_type(ending)},
          {"stopping_word", ending.stop_string},
          {"timings", timings(usage)}};
}

/// "timings/prompt_n" becomes a key of that name; what is not there is left out.
Json chosen_fields(const Json& object, const std::vector<std::string>& paths) {
  Json chosen = Json::object();
  for (const std::string& path : paths) {
    const Json* value = &object;
    for (size_t begin = 0; value && begin <= path.size();) {
      const size_t end = std::min(path.find('/', begin), path.size());
      const std::string key = path.substr(begin, end - begin);
      value = value->is_object() && value->contains(key) ? &(*value)[key] : nullptr;
      begin = end + 1;
    }
    if (value) chosen[path] = *value;
  }
  return chosen;
}

class LlamaStream : public Writer {
 public:
  explicit LlamaStream(LlamaTelling telling) : telling_(std::move(telling)) {}

  const char* content_type() const override { return kEventStream; }
  std::string keep_alive() const override { return kEventComment; }
  void begin(const Head& head, std::string&) override { head_ = head; }

  void piece(const Piece& piece, std::string& out) override {
    if (piece.text.empty() && piece.tokens.empty()) return;
    Json object{{"index", 0},
                {"content", piece.text},
                {"tokens", telling_.with_tokens ? ids_of(piece.tokens) : Json::array()},
                {"stop", false},
                {"id_slot", 0}};
    if (!piece.tokens.empty()) object["completion_probabilities"] = probabilities(piece.tokens);
    write_event(out, object);
  }

  void end(const Ending& ending, std::string&) override { ending_ = ending; }

  void finish(const Usage& usage, std::string& out) override {
    Json object = last_object(head_, "", ending_, usage);
    if (telling_.response_fields) object = chosen_fields(object, *telling_.response_fields);
    write_event(out, object);
  }

  void fail(const Refusal& refusal, std::string& out) override {
    write_event(out, {{"error", openai_error_object(refusal)}});
  }

 private:
  LlamaTelling telling_;
  Head head_;
  Ending ending_;
};

std::string whole_body(const Gathered& answer, const LlamaTelling& telling) {
  const auto& choice = answer.choices.front();
  std::string text;
  for (const auto& part : choice.parts) text += part.text;
  Json object =
      last_object(answer.head, cut_at_indent(text, telling.n_indent), choice.ending, answer.usage);
  const auto tokens = choice.tokens();
  if (telling.with_tokens) object["tokens"] = ids_of(tokens);
  if (!tokens.empty()) object["completion_probabilities"] = probabilities(tokens);
  if (telling.response_fields) object = chosen_fields(object, *telling.response_fields);
  return dump(object);
}

}  // namespace

std::string cut_at_indent(const std::string& text, int64_t n_indent) {
  if (n_indent == 0) return text;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', end + 1)) {
    const size_t words = text.find_first_not_of(" \t", end + 1);
    if (words == std::string::npos) break;
    if (text[words] != '\n' && static_cast<int64_t>(words - end - 1) < n_indent) {
      return text.substr(0, end);
    }
  }
  return text;
}

std::unique_ptr<Writer> llama_writer(const Ask& ask, LlamaTelling telling) {
  if (ask.stream) return std::make_unique<LlamaStream>(std::move(telling));
  return std::make_unique<WholeWriter>(1, openai_error,
                                       [telling = std::move(telling)](const Gathered& answer) {
                                         return whole_body(answer, telling);
                                       });
}

}  // namespace sluice::server
