#include "sluice/server/answers/think_limit.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sluice::server {
namespace {

/// Tokens are bytes.
class Bytes : public text::Tokenizer {
 public:
  std::vector<text::Token> encode(std::string_view text, EncodeOptions) const override {
    return {text.begin(), text.end()};
  }
  std::vector<text::Token> encode(const text::RenderedPrompt&) const override { return {}; }
  std::string token_bytes(text::Token token, bool) const override {
    return {static_cast<char>(token)};
  }
  int64_t vocab_size() const override { return 128; }
  bool is_special(text::Token) const override { return false; }
  const text::NamedTokens& named_tokens() const override { return named_; }
  std::optional<text::Token> bos() const override { return std::nullopt; }
  bool adds_bos() const override { return false; }
  const std::vector<text::Token>& eos() const override { return eos_; }
  std::optional<text::Token> token_id(std::string_view) const override { return std::nullopt; }

 private:
  text::NamedTokens named_;
  std::vector<text::Token> eos_;
};

const Bytes kBytes;

ThinkLimit limit(int64_t tokens, bool begun) {
  return {.tokens = tokens,
          .begun = begun,
          .begin = "<t>",
          .end = "</t>",
          .then = kBytes.encode("</t>\n", {})};
}

/// What comes where a model wants to say `wanted`, and then dots.
std::string said(engine::Constraint& constraint, const std::string& wanted, size_t n) {
  std::string text;
  for (size_t at = 0; text.size() < n;) {
    std::vector<float> logits(128, 0.0F);
    const char want = at < wanted.size() ? wanted[at] : '.';
    logits[static_cast<size_t>(want)] = 1;
    constraint.mask(logits);
    const auto best = std::ranges::max_element(logits) - logits.begin();
    if (best == want) ++at;
    text += static_cast<char>(best);
    EXPECT_TRUE(constraint.accept(static_cast<text::Token>(best)));
  }
  return text;
}

TEST(ThinkLimit, ends_thinking_that_takes_too_long) {
  EXPECT_EQ(said(*make_think_limit(nullptr, limit(3, true), kBytes), "abcdefg", 12),
            "abc</t>\ndefg");
  EXPECT_EQ(said(*make_think_limit(nullptr, limit(2, false), kBytes), "x<t>abcd", 13),
            "x<t>ab</t>\ncd");
  EXPECT_EQ(said(*make_think_limit(nullptr, limit(0, true), kBytes), "ab", 7), "</t>\nab");
}

TEST(ThinkLimit, leaves_alone_what_ends_in_time) {
  EXPECT_EQ(said(*make_think_limit(nullptr, limit(9, true), kBytes), "ab</t>cdefghijkl", 16),
            "ab</t>cdefghijkl");
  EXPECT_EQ(said(*make_think_limit(nullptr, limit(0, false), kBytes), "no thoughts", 11),
            "no thoughts");
  EXPECT_EQ(said(*make_think_limit(nullptr, limit(3, true), kBytes), "a<t>", 9), "a<t</t>\n.");
}

}  // namespace
}  // namespace sluice::server
