#include "sluice/text/grammar.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "sluice/base/error.h"

namespace sluice::text {
namespace {

/// Tokens 0 to 255 are bytes, 256 on are these texts, the last one ends a text.
class Letters : public Tokenizer {
 public:
  std::vector<Token> encode(std::string_view, EncodeOptions) const override { return {}; }
  std::vector<Token> encode(const RenderedPrompt&) const override { return {}; }
  std::string token_bytes(Token token, bool) const override {
    if (token < 256) return {static_cast<char>(token)};
    const auto at = static_cast<size_t>(token - 256);
    return at < texts_.size() ? texts_[at] : "";
  }
  int64_t vocab_size() const override { return 256 + std::ssize(texts_) + 1; }
  bool is_special(Token token) const override { return token == eos_[0]; }
  const NamedTokens& named_tokens() const override { return named_; }
  std::optional<Token> bos() const override { return std::nullopt; }
  bool adds_bos() const override { return false; }
  const std::vector<Token>& eos() const override { return eos_; }
  std::optional<Token> token_id(std::string_view) const override { return std::nullopt; }

 private:
  std::vector<std::string> texts_{"{\"", "\":", "true", "false", "null", "\", \"", "}", "é", "12"};
  std::vector<Token> eos_{256 + 9};
  NamedTokens named_;
};

/// A text of tokens drawn among those that may follow; empty when it did not end.
std::string draw(GrammarMatcher& matcher, const Tokenizer& tokenizer, uint32_t seed) {
  std::mt19937 random(seed);
  std::string text;
  // One more than the tokenizer's, as models have.
  std::vector<float> logits(static_cast<size_t>(tokenizer.vocab_size()) + 1);
  for (int n = 0; n < 4000; ++n) {
    std::ranges::fill(logits, 0.0F);
    matcher.mask(logits);
    std::vector<Token> allowed;
    for (size_t id = 0; id < logits.size(); ++id) {
      if (!std::isinf(logits[id])) allowed.push_back(static_cast<Token>(id));
    }
    if (allowed.empty()) return "";
    // What closes things comes often enough that a text ends.
    const Token eos = tokenizer.eos()[0];
    Token token = allowed[random() % allowed.size()];
    for (const char closing : {'"', '}', ']'}) {
      if (random() % 3 == 0 && std::ranges::find(allowed, closing) != allowed.end())
        token = closing;
    }
    if (std::ranges::find(allowed, eos) != allowed.end()) token = eos;
    const bool more = matcher.accept(token);
    text += token == eos ? "" : tokenizer.token_bytes(token);
    if (!more) return text;
  }
  return "";
}

TEST(Grammar, whatever_is_drawn_fits_its_schema) {
  const Letters tokenizer;
  const auto grammars = open_grammars(tokenizer, tokenizer.vocab_size() + 1);
  const std::string schema = R"({"type": "object", "required": ["name", "age", "tags"],
    "additionalProperties": false,
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 3, "maximum": 120},
                   "tags": {"type": "array", "items": {"enum": ["a", "b", null]}, "maxItems": 3}}})";
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const auto matcher = grammars->compile(GrammarKind::json_schema, schema);
    const auto json = nlohmann::json::parse(draw(*matcher, tokenizer, seed));
    EXPECT_EQ(json.size(), 3U);
    EXPECT_LE(json.at("name").get<std::string>().size(), 8U * 4);
    EXPECT_GE(json.at("age").get<int>(), 3);
    EXPECT_LE(json.at("age").get<int>(), 120);
    EXPECT_LE(json.at("tags").size(), 3U);
  }
  for (uint32_t seed = 0; seed < 10; ++seed) {
    const auto object = grammars->compile(GrammarKind::json_object, "");
    EXPECT_TRUE(nlohmann::json::parse(draw(*object, tokenizer, seed)).is_object());
    const auto regex = grammars->compile(GrammarKind::regex, "(ab|cd){2}[0-9]");
    EXPECT_EQ(draw(*regex, tokenizer, seed).size(), 5U);
    const auto lark = grammars->compile(GrammarKind::lark, "start: \"yes\" | \"no\"");
    const std::string answer = draw(*lark, tokenizer, seed);
    EXPECT_TRUE(answer == "yes" || answer == "no") << answer;
  }
}

TEST(Grammar, what_cannot_be_used_is_refused_with_its_reason) {
  const Letters tokenizer;
  const auto grammars = open_grammars(tokenizer, tokenizer.vocab_size());
  std::string deep;
  for (int i = 0; i < 3000; ++i) deep += R"({"type":"array","items":)";
  deep += "{}" + std::string(3000, '}');
  const std::vector<std::pair<GrammarKind, std::string>> cases{
      {GrammarKind::json_schema, "{"},
      {GrammarKind::json_schema, R"({"type": "nonsense"})"},
      {GrammarKind::json_schema, R"({"$ref": "https://example.com/schema.json"})"},
      {GrammarKind::json_schema, deep},
      {GrammarKind::json_schema, std::string(2 << 20, ' ')},
      {GrammarKind::regex, "(ab"},
      {GrammarKind::lark, "start: other"},
      {GrammarKind::lark, "\xff"}};
  for (const auto& [kind, definition] : cases) {
    try {
      (void)grammars->compile(kind, definition);
      ADD_FAILURE() << definition.substr(0, 60);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_request) << error.what();
    }
  }
}

/// Whether a text, byte by byte, fits to its end.
bool fits(const Grammars& grammars, std::string_view gbnf, std::string_view text) {
  const auto matcher = grammars.compile(GrammarKind::gbnf, gbnf);
  std::vector<float> logits(256 + 9 + 2);
  const auto allows = [&](Token token) {
    std::ranges::fill(logits, 0.0F);
    matcher->mask(logits);
    return !std::isinf(logits[static_cast<size_t>(token)]);
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const Token byte = static_cast<unsigned char>(text[i]);
    if (!allows(byte)) return false;
    if (!matcher->accept(byte)) return i + 1 == text.size();
  }
  return allows(256 + 9);
}

constexpr const char* kJsonGrammar = R"(
# llama.cpp's, in the main
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ws
ws ::= | " " | "\n" [ \t]{0,20}
)";

TEST(Gbnf, allows_what_llama_cpp_does) {
  const Letters tokenizer;
  const auto grammars = open_grammars(tokenizer, tokenizer.vocab_size() + 1);
  EXPECT_TRUE(fits(*grammars, "root ::= [a-z]+ \"ab\" | \"\\u00e9\"", "xyab"));
  EXPECT_TRUE(fits(*grammars, "root ::= [a-z]+ \"ab\" | \"\\u00e9\"", "é"));
  EXPECT_FALSE(fits(*grammars, "root ::= [a-z]+ \"ab\" | \"\\u00e9\"", "xyb"));
  EXPECT_TRUE(fits(*grammars, "root ::= . two-digits{2}\ntwo-digits ::= [0-9]{2}", "\n1234"));
  EXPECT_FALSE(fits(*grammars, "root ::= . two-digits{2}\ntwo-digits ::= [0-9]{2}", "\n123"));
  EXPECT_TRUE(fits(*grammars, "root ::= \"(\" root? \")\"", "((()))"));
  EXPECT_FALSE(fits(*grammars, "root ::= \"(\" root? \")\"", "((())"));
  EXPECT_TRUE(fits(*grammars, "root ::= [^\\]x\\n-]*", "a/\"b"));
  EXPECT_FALSE(fits(*grammars, "root ::= [^\\]x\\n-]*", "a]"));
  for (const char* const json : {"{}", R"({"a": [1, -2.5, "x\u00e9", null], "b": {"c": true}})"})
    EXPECT_TRUE(fits(*grammars, kJsonGrammar, json)) << json;
  for (const char* const wrong : {"[]", R"({"a" 1})", R"({"a": tru})", R"({"a": "\q"})"})
    EXPECT_FALSE(fits(*grammars, kJsonGrammar, wrong)) << wrong;
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const auto matcher = grammars->compile(GrammarKind::gbnf, kJsonGrammar);
    const std::string text = draw(*matcher, tokenizer, seed);
    if (!text.empty()) {
      EXPECT_TRUE(nlohmann::json::accept(text)) << text;
    }
  }
}

TEST(Grammar, what_would_grow_beyond_its_definition_is_refused) {
  const Letters tokenizer;
  const auto grammars = open_grammars(tokenizer, tokenizer.vocab_size() + 1);
  const std::string items = R"({"type": "array", "items": {"type": "integer"}, "maxItems": 1e9})";
  std::string doubling = "root ::= r0\n", words = "start: T0\n";
  for (int i = 0; i < 60; ++i) {
    doubling += fmt::format("r{0} ::= r{1} r{1}\n", i, i + 1);
    words += fmt::format("T{0}: (T{1} T{1})\n", i, i + 1);
  }
  using Kind = GrammarKind;
  const std::vector<std::pair<Kind, std::string>> definitions = {
      {Kind::json_schema, R"({"type": "array", "minItems": 1000000000})"},
      {Kind::json_schema, R"({"$defs": {"a": )" + items + R"(}, "$ref": "#/$defs/a"})"},
      {Kind::lark, "start: %json " + items},
      {Kind::gbnf, doubling + "r60 ::= \"b\""},
      {Kind::lark, words + "T60: \"b\""}};
  for (const auto& [kind, definition] : definitions) {
    try {
      grammars->compile(kind, definition);
      ADD_FAILURE() << "not refused: " << definition.substr(0, 60);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_request) << error.what();
    }
  }
}

TEST(Gbnf, is_refused_in_words_where_it_is_damaged) {
  const Letters tokenizer;
  const auto grammars = open_grammars(tokenizer, tokenizer.vocab_size() + 1);
  for (const std::string& wrong :
       {std::string(), std::string("root"), std::string("root ::= \"a"), std::string("x ::= \"a\""),
        std::string("root ::= missing"), std::string("root ::= [z-a]"), std::string("root ::= []"),
        std::string("root ::= \"a\" )"), std::string("root ::= \"a\"{2,1}"),
        std::string("root ::= \"a\"{99999}"), std::string("root ::= \"\\xg0\""),
        std::string("root ::= \"a\"\nroot ::= \"b\""), std::string("root ::= \"\xff\""),
        "root ::= " + std::string(1000, '('), "root ::= \"a\"" + std::string(1000, '*')}) {
    EXPECT_THROW(grammars->compile(GrammarKind::gbnf, wrong), Error) << wrong.substr(0, 40);
  }
  std::mt19937 random(1);
  const std::string good = kJsonGrammar;
  for (int round = 0; round < 300; ++round) {
    std::string text = good;
    for (int i = 0; i < 3; ++i) text[random() % text.size()] = static_cast<char>(random() % 256);
    try {
      grammars->compile(GrammarKind::gbnf, text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_request) << error.what();
    }
  }
}

}  // namespace
}  // namespace sluice::text
