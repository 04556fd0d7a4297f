// The token ids that llama.cpp's own vectors expect: NAME.gguf holds a vocabulary, NAME.gguf.inp texts,
// NAME.gguf.out the ids of each text on a line. tools/fetch_vocab_vectors.sh gets them.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>

#include "sluice/base/error.h"
#include "sluice/io/formats/gguf.h"
#include "sluice/text/tokenizer.h"

namespace sluice::text {
namespace {

// Vocabularies of kinds that no model Sluice runs has: WordPiece and Unigram.
constexpr std::array<std::string_view, 2> kUnsupported = {"bert-bge", "nomic-bert-moe"};

std::filesystem::path models() {
  const char* path = std::getenv("SLUICE_LLAMA_CPP_MODELS");
  return path == nullptr ? "" : path;
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> names() {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(models(), ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("ggml-vocab-") && name.ends_with(".gguf"))
      found.push_back(name.substr(11, name.size() - 16));
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::filesystem::path file_of(const std::string& name) {
  return models() / ("ggml-vocab-" + name + ".gguf");
}

TEST(VocabVectorFiles, AreThere) {
  ASSERT_GE(names().size(), 15u) << "SLUICE_LLAMA_CPP_MODELS is '" << models().string()
                                 << "', which holds no vectors: run tools/fetch_vocab_vectors.sh";
}

class VocabVectors : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (std::find(kUnsupported.begin(), kUnsupported.end(), GetParam()) != kUnsupported.end()) {
      try {
        Tokenizer::from_gguf(io::open_gguf(file_of(GetParam())));
        FAIL() << "opened";
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::unsupported) << error.what();
      }
      return;
    }
    tokenizer_ = Tokenizer::from_gguf(io::open_gguf(file_of(GetParam())));
  }

  std::unique_ptr<Tokenizer> tokenizer_;
};

struct Vector {
  std::string text;
  std::vector<Token> ids;
};

std::vector<Vector> vectors(const std::string& name) {
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::string input = read(file_of(name) += ".inp");
  std::istringstream output(read(file_of(name) += ".out"));
  std::vector<Vector> result;
  for (std::string line; std::getline(output, line);) {
    const size_t end = input.find(separator);
    std::istringstream numbers(line);
    result.push_back({input.substr(0, end), {std::istream_iterator<Token>(numbers), {}}});
    input = end == std::string::npos ? "" : input.substr(end + separator.size());
  }
  return result;
}

TEST_P(VocabVectors, TextsGetTheReferencesIds) {
  if (!tokenizer_) return;
  if (std::filesystem::exists(file_of(GetParam()) += ".out")) {
    EXPECT_GE(vectors(GetParam()).size(), 40u);  // a few vocabularies come without vectors
  }
  for (const Vector& vector : vectors(GetParam())) {
    const auto ids = tokenizer_->encode(vector.text, {.add_bos = false, .parse_special = false});
    EXPECT_EQ(ids, vector.ids) << "'" << vector.text << "'";
  }
}

TEST_P(VocabVectors, IdsDecodeToTheTextTheyCameFrom) {
  if (!tokenizer_) return;
  for (const Vector& vector : vectors(GetParam()))
    EXPECT_EQ(tokenizer_->decode(vector.ids), vector.text);
}

/// Any tokens, so most of what they spell is no text at all.
TEST_P(VocabVectors, StreamedTextIsTheDecodedText) {
  if (!tokenizer_) return;
  std::mt19937 random(7);
  const auto size = static_cast<Token>(tokenizer_->vocab_size());
  std::uniform_int_distribution<Token> any(-1, size);
  for (int round = 0; round < 300; ++round) {
    std::vector<Token> tokens(random() % 12);
    for (Token& token : tokens) token = any(random);
    Detokenizer detokenizer(*tokenizer_);
    std::string streamed;
    for (const Token token : tokens) streamed += detokenizer.push(token);
    streamed += detokenizer.finish();
    ASSERT_EQ(streamed, tokenizer_->decode(tokens));
    // Text that was decoded is UTF-8, so it can be encoded again.
    ASSERT_NO_THROW(tokenizer_->encode(streamed, {}));
  }
}

INSTANTIATE_TEST_SUITE_P(Llama, VocabVectors, testing::ValuesIn(names()), [](const auto& param) {
  std::string name = param.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(VocabVectors);

}  // namespace
}  // namespace sluice::text
