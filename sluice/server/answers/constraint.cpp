#include "sluice/server/answers/constraint.h"

#include <utility>

#include "sluice/base/error.h"

namespace sluice::server {
namespace {

text::GrammarKind kind_of(const Format& format) {
  switch (format.kind) {
    case Format::Kind::json:
      return text::GrammarKind::json_object;
    case Format::Kind::json_schema:
      return text::GrammarKind::json_schema;
    case Format::Kind::regex:
      return text::GrammarKind::regex;
    case Format::Kind::lark:
      return text::GrammarKind::lark;
    case Format::Kind::gbnf:
      return text::GrammarKind::gbnf;
    case Format::Kind::text:
      break;
  }
  fail(ErrorKind::internal, "a text without a form has no grammar");
}

class OfGrammar : public engine::Constraint {
 public:
  OfGrammar(std::unique_ptr<text::GrammarMatcher> matcher, const text::Tokenizer& tokenizer,
            Thinking thinking)
      : matcher_(std::move(matcher)), tokenizer_(tokenizer), thinking_(std::move(thinking)) {}

  void mask(std::span<float> logits) override {
    if (thinking_.begun) return;
    if (!thinking_.begin) return matcher_->mask(logits);
    const auto id = static_cast<size_t>(*thinking_.begin);
    const float begin = logits[id];
    matcher_->mask(logits);
    logits[id] = begin;
  }

  bool accept(text::Token token) override {
    if (thinking_.begun) {
      think(token);
      return true;
    }
    thinking_.begun = std::exchange(thinking_.begin, std::nullopt) == token;
    return thinking_.begun || matcher_->accept(token);
  }

 private:
  void think(text::Token token) {
    seen_ += tokenizer_.token_bytes(token, /*keep_special=*/true);
    for (; n_ended_ < thinking_.ends.size(); ++n_ended_) {
      const std::string& end = thinking_.ends[n_ended_];
      const size_t at = seen_.find(end);
      if (at == std::string::npos) {
        if (seen_.size() > end.size()) seen_.erase(0, seen_.size() - end.size());
        return;
      }
      seen_.erase(0, at + end.size());
    }
    thinking_.begun = false;
    thinking_.begin.reset();
  }

  std::unique_ptr<text::GrammarMatcher> matcher_;
  const text::Tokenizer& tokenizer_;
  Thinking thinking_;
  std::string seen_;    // the end of what was thought
  size_t n_ended_ = 0;  // of what ends it, so many came
};

class OfCalls : public engine::Constraint {
 public:
  OfCalls(std::shared_ptr<const text::Grammars> grammars, CallRule rule,
          const text::Tokenizer& tokenizer)
      : grammars_(std::move(grammars)), rule_(std::move(rule)), tokenizer_(tokenizer) {
    auto first = compiled();  // so that it is refused now
    if (rule_.marker.empty()) matcher_ = std::move(first);
  }

  void mask(std::span<float> logits) override {
    if (matcher_) matcher_->mask(logits);
  }

  bool accept(text::Token token) override {
    if (matcher_) {
      if (matcher_->accept(token)) return true;
      matcher_.reset();
      return !rule_.ends;
    }
    if (!rule_.marker.empty()) look_for_marker(token);
    return true;
  }

 private:
  std::unique_ptr<text::GrammarMatcher> compiled() const {
    return grammars_->compile(text::GrammarKind::lark, rule_.grammar);
  }

  /// Its last token may hold white space that follows it.
  void look_for_marker(text::Token token) {
    seen_ += tokenizer_.token_bytes(token, /*keep_special=*/true);
    const size_t last = seen_.find_last_not_of(" \r\n") + 1;
    if (std::string_view(seen_).substr(0, last).ends_with(rule_.marker)) {
      matcher_ = compiled();
      seen_.clear();
    } else if (seen_.size() > 2 * rule_.marker.size()) {
      seen_.erase(0, seen_.size() - 2 * rule_.marker.size());
    }
  }

  const std::shared_ptr<const text::Grammars> grammars_;
  const CallRule rule_;
  const text::Tokenizer& tokenizer_;
  std::unique_ptr<text::GrammarMatcher> matcher_;  // of the call that has begun
  std::string seen_;                               // the end of what came between calls
};

}  // namespace

std::shared_ptr<engine::Constraint> make_call_constraint(
    std::shared_ptr<const text::Grammars> grammars, const CallRule& rule,
    const text::Tokenizer& tokenizer) {
  return std::make_shared<OfCalls>(std::move(grammars), rule, tokenizer);
}

std::shared_ptr<engine::Constraint> make_constraint(const text::Grammars& grammars,
                                                    const Format& format,
                                                    const text::Tokenizer& tokenizer,
                                                    Thinking thinking) {
  if (format.kind == Format::Kind::text) return nullptr;
  return std::make_shared<OfGrammar>(grammars.compile(kind_of(format), format.definition),
                                     tokenizer, std::move(thinking));
}

}  // namespace sluice::server
