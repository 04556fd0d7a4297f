// Schemas and grammars that clients send: refused, or kept by what they let follow.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "require.h"
#include "sluice/base/error.h"
#include "sluice/text/grammar.h"

namespace {

using namespace sluice;
using text::GrammarKind;
using text::Token;

constexpr Token kEnd = 256;

/// A token is a byte, and one ends a text.
class Bytes : public text::Tokenizer {
 public:
  std::vector<Token> encode(std::string_view, EncodeOptions) const override { return {}; }
  std::vector<Token> encode(const text::RenderedPrompt&) const override { return {}; }
  std::string token_bytes(Token token, bool) const override {
    return token < kEnd ? std::string(1, static_cast<char>(token)) : "";
  }
  int64_t vocab_size() const override { return kEnd + 1; }
  bool is_special(Token token) const override { return token == kEnd; }
  const text::NamedTokens& named_tokens() const override { return named_; }
  std::optional<Token> bos() const override { return std::nullopt; }
  bool adds_bos() const override { return false; }
  const std::vector<Token>& eos() const override { return eos_; }
  std::optional<Token> token_id(std::string_view) const override { return std::nullopt; }

 private:
  std::vector<Token> eos_{kEnd};
  text::NamedTokens named_;
};

constexpr std::array kKinds{GrammarKind::json_schema, GrammarKind::regex, GrammarKind::lark,
                            GrammarKind::gbnf, GrammarKind::json_schema};

/// Some bytes that may follow one another, chosen by `choice`.
void follow(text::GrammarMatcher& matcher, uint8_t choice, bool is_json) {
  std::string said;
  std::array<float, kEnd + 1> logits{};
  for (int n = 0; n < 24; ++n) {
    logits.fill(0);
    matcher.mask(logits);
    const auto n_allowed = std::ranges::count_if(logits, [](float l) { return !std::isinf(l); });
    require(n_allowed > 0, "something may follow");
    auto nth = (choice + n * 7) % n_allowed;
    const auto chosen =
        std::ranges::find_if(logits, [&](float l) { return !std::isinf(l) && nth-- == 0; });
    const auto token = static_cast<Token>(chosen - logits.begin());
    if (token < kEnd) said += static_cast<char>(token);
    if (token == kEnd && is_json) require(nlohmann::json::accept(said), "what is whole is JSON");
    if (!matcher.accept(token)) return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Bytes tokenizer;
  static const std::unique_ptr<text::Grammars> grammars = text::open_grammars(tokenizer, kEnd + 1);
  if (size < 2) return 0;
  const GrammarKind kind = kKinds[data[0] % kKinds.size()];
  const std::string_view definition(reinterpret_cast<const char*>(data) + 2, size - 2);
  try {
    const auto matcher = grammars->compile(kind, definition);
    follow(*matcher, data[1], kind == GrammarKind::json_schema);
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::bad_request, "a wrong definition is the client's fault");
  }
  return 0;
}
