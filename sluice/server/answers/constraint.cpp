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
    case Format::Kind::text:
    case Format::Kind::gbnf:
      break;
  }
  fail(ErrorKind::bad_request, "GBNF grammars are not supported; give the grammar in Lark's form");
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
    if (seen_.find(thinking_.end) != std::string::npos) {
      thinking_.begun = false;
      thinking_.begin.reset();
    } else if (seen_.size() > thinking_.end.size()) {
      seen_.erase(0, seen_.size() - thinking_.end.size());
    }
  }

  std::unique_ptr<text::GrammarMatcher> matcher_;
  const text::Tokenizer& tokenizer_;
  Thinking thinking_;
  std::string seen_;  // the end of what was thought
};

}  // namespace

std::shared_ptr<engine::Constraint> make_constraint(const text::Grammars& grammars,
                                                    const Format& format,
                                                    const text::Tokenizer& tokenizer,
                                                    Thinking thinking) {
  if (format.kind == Format::Kind::text) return nullptr;
  return std::make_shared<OfGrammar>(grammars.compile(kind_of(format), format.definition),
                                     tokenizer, std::move(thinking));
}

}  // namespace sluice::server
