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
            std::string after)
      : matcher_(std::move(matcher)), tokenizer_(tokenizer), after_(std::move(after)) {}

  void mask(std::span<float> logits) override {
    if (after_.empty()) matcher_->mask(logits);
  }
  bool accept(text::Token token) override {
    if (after_.empty()) return matcher_->accept(token);
    seen_ += tokenizer_.token_bytes(token, /*keep_special=*/true);
    if (seen_.find(after_) != std::string::npos) {
      after_.clear();
    } else if (seen_.size() > after_.size()) {
      seen_.erase(0, seen_.size() - after_.size());
    }
    return true;
  }

 private:
  std::unique_ptr<text::GrammarMatcher> matcher_;
  const text::Tokenizer& tokenizer_;
  std::string after_, seen_;
};

}  // namespace

std::shared_ptr<engine::Constraint> make_constraint(const text::Grammars& grammars,
                                                    const Format& format,
                                                    const text::Tokenizer& tokenizer,
                                                    std::string after) {
  if (format.kind == Format::Kind::text) return nullptr;
  return std::make_shared<OfGrammar>(grammars.compile(kind_of(format), format.definition),
                                     tokenizer, std::move(after));
}

}  // namespace sluice::server
