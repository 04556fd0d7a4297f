#include "sluice/text/grammar.h"

#include <string>
#include <utility>
#include <vector>

#include "sluice/text/ffi.h"
#include "sluice/text/gbnf.h"

namespace sluice::text {
namespace {

const char* name_of(GrammarKind kind) {
  switch (kind) {
    case GrammarKind::json_object:
      return "json_object";
    case GrammarKind::json_schema:
      return "json_schema";
    case GrammarKind::regex:
      return "regex";
    case GrammarKind::lark:
    case GrammarKind::gbnf:
      return "lark";
  }
  return "";
}

/// Grammars name a control token by its text, <|message|>: llguidance knows such words by their first byte, which no
/// text has.
std::string word_of(const Tokenizer& tokenizer, Token token) {
  if (!tokenizer.is_special(token)) return tokenizer.token_bytes(token);
  const std::string name = tokenizer.token_bytes(token, /*keep_special=*/true);
  return name.starts_with('<') && name.ends_with('>') ? '\xFF' + name : "";
}

class Matcher : public GrammarMatcher {
 public:
  explicit Matcher(rust::Box<ffi::GrammarMatcher> matcher) : matcher_(std::move(matcher)) {}

  void mask(std::span<float> logits) override {
    call_rust("the grammar",
              [&] { matcher_->mask(rust::Slice<float>(logits.data(), logits.size())); });
  }
  bool accept(Token token) override {
    return call_rust("the grammar", [&] { return matcher_->accept(token); });
  }

 private:
  rust::Box<ffi::GrammarMatcher> matcher_;
};

class OfTokens : public Grammars {
 public:
  explicit OfTokens(rust::Box<ffi::Grammars> grammars) : grammars_(std::move(grammars)) {}

  std::unique_ptr<GrammarMatcher> compile(GrammarKind kind,
                                          std::string_view definition) const override {
    const std::string converted = kind == GrammarKind::gbnf ? lark_of_gbnf(definition) : "";
    if (kind == GrammarKind::gbnf) definition = converted;
    return call_rust("the grammar", [&]() -> std::unique_ptr<GrammarMatcher> {
      return std::make_unique<Matcher>(
          grammars_->compile(rust::Str(name_of(kind)), slice(definition)));
    });
  }

 private:
  rust::Box<ffi::Grammars> grammars_;
};

}  // namespace

std::unique_ptr<Grammars> open_grammars(const Tokenizer& tokenizer, int64_t n_tokens) {
  std::string bytes;
  std::vector<uint64_t> ends;
  std::vector<Token> eos;
  for (const Token token : tokenizer.eos()) {
    if (token >= 0 && token < n_tokens) eos.push_back(token);
  }
  for (int64_t id = 0; id < n_tokens; ++id) {
    bytes += word_of(tokenizer, static_cast<Token>(id));
    ends.push_back(bytes.size());
  }
  return call_rust("the tokens", [&]() -> std::unique_ptr<Grammars> {
    return std::make_unique<OfTokens>(
        ffi::open_grammars(slice(bytes), rust::Slice<const uint64_t>(ends.data(), ends.size()),
                           rust::Slice<const int32_t>(eos.data(), eos.size())));
  });
}

}  // namespace sluice::text
