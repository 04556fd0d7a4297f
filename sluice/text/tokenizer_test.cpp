#include "sluice/text/tokenizer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <thread>

#include "sluice/base/error.h"

namespace sluice::text {
namespace {

using Ids = std::vector<Token>;

/// A GGUF's metadata in memory, as the reader would leave it.
class Vocabulary {
 public:
  explicit Vocabulary(std::string model) {
    gguf_.metadata.where = "test.gguf";
    set("tokenizer.ggml.model", keep(std::move(model)));
  }

  Vocabulary& set(const std::string& key, io::GgufValue value) {
    gguf_.metadata.values[key] = value;
    return *this;
  }
  Vocabulary& pre(const char* name) { return set("tokenizer.ggml.pre", std::string_view(name)); }
  Vocabulary& strings(const std::string& key, const std::vector<std::string>& values) {
    std::string bytes;
    for (const std::string& value : values) {
      const uint64_t size = value.size();
      bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
      bytes += value;
    }
    return array(key, io::GgufType::string, values.size(), std::move(bytes));
  }
  template <typename T>
  Vocabulary& numbers(const std::string& key, io::GgufType type, const std::vector<T>& values) {
    std::string bytes(values.size() * sizeof(T), '\0');
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return array(key, type, values.size(), std::move(bytes));
  }

  std::unique_ptr<Tokenizer> open() const { return Tokenizer::from_gguf(gguf_); }
  ErrorKind refusal() const {
    try {
      open();
    } catch (const Error& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with("test.gguf: ")) << error.what();
      return error.kind();
    }
    ADD_FAILURE() << "opened";
    return ErrorKind::internal;
  }

 private:
  Vocabulary& array(const std::string& key, io::GgufType type, uint64_t count, std::string bytes) {
    const std::string_view kept = keep(std::move(bytes));
    return set(key, io::GgufArray{type, count, std::as_bytes(std::span(kept))});
  }
  /// For ever: a tokenizer outlives its Vocabulary, as it may, holding a real file's mapping.
  static std::string_view keep(std::string bytes) {
    static std::deque<std::string> kept;
    return kept.emplace_back(std::move(bytes));
  }

  io::Gguf gguf_;
};

/// The byte tokens are only those of U+00E9.
Vocabulary sentencepiece() {
  Vocabulary v("llama");
  v.strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "<0xC3>", "<0xA9>", "▁", "a", "b",
                                      "ab", "▁a", "ba", "<sep>", "<|im_end|>"});
  v.numbers<float>("tokenizer.ggml.scores", io::GgufType::f32,
                   {0, 0, 0, 0, 0, -3, -4, -5, -1, -2, -1, 0, 0});
  v.numbers<int32_t>("tokenizer.ggml.token_type", io::GgufType::i32,
                     {2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 4, 1});
  return v;
}

Vocabulary byte_level() {
  Vocabulary v("gpt2");
  v.pre("gpt-2");
  v.strings("tokenizer.ggml.tokens", {"a", "b", "Ġ", "Ċ", "ab", "Ġab", "Ã", "©", "<|endoftext|>"});
  v.strings("tokenizer.ggml.merges", {"a b", "Ġ ab"});
  v.numbers<int32_t>("tokenizer.ggml.token_type", io::GgufType::i32, {1, 1, 1, 1, 1, 1, 1, 1, 3});
  v.set("tokenizer.ggml.eos_token_id", int64_t{8});
  return v;
}

constexpr Tokenizer::EncodeOptions kPlain{.add_bos = false, .parse_special = false};
constexpr Tokenizer::EncodeOptions kSpecial{.add_bos = false, .parse_special = true};

TEST(SentencePiece, MergesTheHighestScoreFirstAndTheLeftmostOfEquals) {
  const auto t = sentencepiece().open();
  EXPECT_EQ(t->encode("ab", kPlain), (Ids{5, 8}));      // ab beats ▁a
  EXPECT_EQ(t->encode("aba", kPlain), (Ids{5, 8, 6}));  // ab and ba are equal: the left one
  EXPECT_EQ(t->encode("a a", kPlain), (Ids{9, 9}));
}

TEST(SentencePiece, WritesUnknownCharactersAsBytesOrAsUnknown) {
  const auto t = sentencepiece().open();
  EXPECT_EQ(t->encode("é", kPlain), (Ids{5, 3, 4}));
  EXPECT_EQ(t->encode("z", kPlain), (Ids{5, 0}));
}

TEST(SentencePiece, PutsASpaceBeforeTextAndTakesItAway) {
  const auto t = sentencepiece().open();
  EXPECT_EQ(t->encode("a<sep>a", kPlain), (Ids{9, 11, 9}));
  EXPECT_EQ(t->decode(Ids{9, 9}), "a a");
  Detokenizer continued(*t, Detokenizer::Place::continuation);
  EXPECT_EQ(continued.push(9), " a");

  const auto bare = sentencepiece().set("tokenizer.ggml.add_space_prefix", false).open();
  EXPECT_EQ(bare->encode("a", kPlain), (Ids{6}));
  EXPECT_EQ(bare->decode(Ids{9}), " a");
}

TEST(SentencePiece, AddsBosUnlessTheFileSaysOtherwise) {
  const auto t = sentencepiece().open();
  EXPECT_TRUE(t->adds_bos());
  EXPECT_EQ(t->encode("a", {}), (Ids{1, 9}));
  const auto other = sentencepiece()
                         .set("tokenizer.ggml.add_bos_token", false)
                         .set("tokenizer.ggml.add_eos_token", true)
                         .open();
  EXPECT_FALSE(other->adds_bos());
  EXPECT_EQ(other->encode("a", {}), (Ids{9, 2}));
}

TEST(SentencePiece, FindsControlTokensOnlyInTrustedText) {
  const auto t = sentencepiece().open();
  EXPECT_EQ(t->encode("a</s>", kSpecial), (Ids{9, 2}));
  EXPECT_EQ(t->encode("a</s>", kPlain).size(), 5u);
  EXPECT_EQ(t->decode(Ids{1, 9, 2}), "a");
  EXPECT_EQ(t->decode(Ids{1, 9, 2}, true), "<s> a</s>");
}

TEST(SentencePiece, ReadsControlTokensWhereTheTemplateSpelledThem) {
  const auto t = sentencepiece().open();
  const auto ids = [&](const RenderedPrompt& prompt) { return t->encode(prompt); };
  const Ids plain = t->encode("</s>", kPlain);
  EXPECT_EQ(ids({"a</s>", {{1, 5}}}), (Ids{9, 2}));
  EXPECT_EQ(ids({"a</s>", {}}), t->encode("a</s>", kPlain));
  EXPECT_EQ(ids({"</s></s>", {{4, 8}}}).back(), 2);
  EXPECT_EQ(ids({"</s></s>", {{4, 8}}}).size(), plain.size() + 1);
  EXPECT_EQ(ids({"</s>", {{0, 3}}}), plain);         // the last character is another's
  EXPECT_EQ(ids({"a<sep>a", {}}), (Ids{9, 11, 9}));  // a token that is no control token
  EXPECT_EQ(ids({"a", {}, true}), (Ids{1, 9}));
}

TEST(SentencePiece, EndsWithEveryTokenThatEndsATurn) {
  EXPECT_EQ(sentencepiece().open()->eos(), (Ids{2, 12}));
}

TEST(ByteLevelBpe, MergesByRankWithinWords) {
  const auto t = byte_level().open();
  EXPECT_EQ(t->encode("ab ab\nb", kPlain), (Ids{4, 5, 3, 1}));
  EXPECT_EQ(t->encode("é", kPlain), (Ids{6, 7}));
  EXPECT_EQ(t->decode(Ids{4, 5, 3, 6, 7}), "ab ab\né");
  EXPECT_FALSE(t->adds_bos());
}

TEST(ByteLevelBpe, StreamsNoHalfCharacter) {
  const auto t = byte_level().open();
  Detokenizer detokenizer(*t);
  EXPECT_EQ(detokenizer.push(6), "");
  EXPECT_EQ(detokenizer.push(7), "é");
  EXPECT_EQ(detokenizer.push(6), "");
  EXPECT_EQ(detokenizer.push(8), "");  // a hidden special token between
  EXPECT_EQ(detokenizer.finish(), "\xEF\xBF\xBD");
}

TEST(GgufTokenizer, IgnoresIdsOutOfRange) {
  const auto t = byte_level().open();
  EXPECT_EQ(t->decode(Ids{-1, 0, 9, INT32_MAX}), "a");
  EXPECT_EQ(t->token_id("Ġab"), 5);
  EXPECT_EQ(t->token_id("nothing"), std::nullopt);
}

TEST(GgufTokenizer, NamesTheTokensThatTheFileNames) {
  auto file = sentencepiece().set("tokenizer.ggml.padding_token_id", int64_t{11});
  EXPECT_EQ(file.open()->named_tokens(), (NamedTokens{{"bos_token", "<s>"},
                                                      {"eos_token", "</s>"},
                                                      {"unk_token", "<unk>"},
                                                      {"pad_token", "<sep>"}}));
  file.set("tokenizer.ggml.padding_token_id", int64_t{99});
  EXPECT_EQ(file.open()->named_tokens().size(), 3u);
}

TEST(GgufTokenizer, OpensNamesAndTokensThatAreNotUtf8) {
  auto file = byte_level();
  file.strings("tokenizer.ggml.tokens",
               {"a", "b", "\xFF", "\xC3(", "ab", "Ġab", "Ã", "©", "\xFE<e>"});
  file.set("general.name", std::string_view("model \xFF"));
  const auto t = file.open();
  EXPECT_EQ(t->encode("ab\n", kSpecial).front(), 4);
  EXPECT_EQ(t->decode(Ids{2, 0, 3}),
            "\xEF\xBF\xBD"
            "a\xEF\xBF\xBD(");
  EXPECT_EQ(t->named_tokens(), (NamedTokens{{"eos_token", "\xEF\xBF\xBD<e>"}}));
  EXPECT_TRUE(t->is_special(8));
}

TEST(GgufTokenizer, RefusesTextThatIsNotUtf8) {
  try {
    byte_level().open()->encode("ab\xFF", kPlain);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_request);
  }
}

TEST(GgufTokenizer, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(byte_level().set("tokenizer.ggml.model", std::string_view("bert")).refusal(),
            ErrorKind::unsupported);
  EXPECT_EQ(byte_level().pre("new").refusal(), ErrorKind::unsupported);
}

TEST(GgufTokenizer, RefusesContradictions) {
  EXPECT_EQ(
      sentencepiece().numbers<float>("tokenizer.ggml.scores", io::GgufType::f32, {1}).refusal(),
      ErrorKind::bad_model);
  EXPECT_EQ(sentencepiece().strings("tokenizer.ggml.scores", {"1"}).refusal(),
            ErrorKind::bad_model);
  EXPECT_EQ(
      byte_level().numbers<int32_t>("tokenizer.ggml.tokens", io::GgufType::i32, {1}).refusal(),
      ErrorKind::bad_model);
  EXPECT_EQ(byte_level().strings("tokenizer.ggml.tokens", {}).refusal(), ErrorKind::bad_model);
}

class TokenizerFiles : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    directory_ =
        std::filesystem::path(testing::TempDir()) / (std::string("sluice-") + test->name());
    std::filesystem::create_directories(directory_);
    write("tokenizer.json", R"({"version": "1.0",
      "added_tokens": [{"id": 4, "content": "<s>", "special": true, "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false}],
      "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
      "post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}}},
      "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
      "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
      "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3, "<s>": 4}, "merges": ["a b"]}})");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name) << text;
  }
  std::unique_ptr<Tokenizer> open() const { return Tokenizer::from_directory(directory_); }

  std::filesystem::path directory_;
};

TEST_F(TokenizerFiles, TheModelsPostProcessorAddsBosAndNothingIsCut) {
  const auto t = open();
  EXPECT_EQ(t->encode("ab ab a", {}), (Ids{4, 2, 3, 2, 3, 0}));
  EXPECT_TRUE(t->adds_bos());
  EXPECT_EQ(t->bos(), 4);
  EXPECT_EQ(t->decode(Ids{4, 2, 3, 0}), "ab a");
  EXPECT_EQ(t->decode(Ids{4, 2}, true), "<s>ab");
}

TEST_F(TokenizerFiles, EosComesFromTheFilesBeside) {
  EXPECT_TRUE(open()->eos().empty());
  write("config.json", R"({"eos_token_id": 1})");
  EXPECT_EQ(open()->eos(), (Ids{1}));
  write("generation_config.json", R"({"eos_token_id": [2, 3]})");
  write("tokenizer_config.json", R"({"eos_token": {"content": "<s>"}, "bos_token": "b"})");
  EXPECT_EQ(open()->eos(), (Ids{2, 3, 4}));
  EXPECT_EQ(open()->bos(), 1);
  EXPECT_FALSE(open()->adds_bos());  // what is added is another token
}

TEST_F(TokenizerFiles, APromptKeepsWhatUsersSpellAsText) {
  write("tokenizer_config.json", R"({"bos_token": "<s>", "pad_token": "ab"})");
  const auto t = open();
  EXPECT_EQ(t->encode(RenderedPrompt{"<s>b<s>", {{0, 3}}}), (Ids{4, 1}));
  EXPECT_EQ(t->encode(RenderedPrompt{"<s>ab", {{0, 3}}}), (Ids{4, 0, 1}));  // as text no pad
  EXPECT_EQ(t->encode(RenderedPrompt{"<s>ab", {{0, 5}}}), (Ids{4, 2}));
  EXPECT_EQ(t->named_tokens(), (NamedTokens{{"bos_token", "<s>"}, {"pad_token", "ab"}}));
  EXPECT_TRUE(t->is_special(2) && !t->is_special(0) && !t->is_special(-1));
  EXPECT_EQ(t->vocab_size(), 5);
}

TEST_F(TokenizerFiles, APointerOfGitLfsIsNamed) {
  write("tokenizer.json", "version https://git-lfs.github.com/spec/v1\nsize 1000\n");
  try {
    open();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_model);
    EXPECT_NE(std::string(error.what()).find("tokenizer.json: is a Git LFS pointer"),
              std::string::npos);
  }
}

TEST_F(TokenizerFiles, SpecialTokensCanBePlainTextOnAnyThread) {
  const auto t = open();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&t, i] {
      for (int round = 0; round < 200; ++round) {
        const bool special = (i + round) % 2 == 0;
        const auto ids = t->encode("<s>a", {.add_bos = false, .parse_special = special});
        ASSERT_EQ(ids.front() == 4, special);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST_F(TokenizerFiles, ABrokenFileIsNamed) {
  write("tokenizer.json", "{\"model\": 1}");
  try {
    open();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_model);
    EXPECT_NE(std::string(error.what()).find("tokenizer.json"), std::string::npos);
  }
}

}  // namespace
}  // namespace sluice::text
