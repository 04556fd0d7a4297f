// Models whose layers carry states, in the engine: what is kept of a sequence is that of its tokens, not of a step ahead.
#include <gtest/gtest.h>

#include "sluice/decode/test_hybrid.h"
#include "sluice/engine/generation.h"
#include "sluice/engine/test_engines.h"
#include "sluice/engine/test_recorder.h"

namespace sluice::engine {
namespace {

using Tokens = std::vector<text::Token>;

class HybridEngine : public testing::Test {
 protected:
  HybridEngine() {
    decode::write_hybrid(directory_);
    std::filesystem::copy_file(kTinyMoe / "tokenizer.json", directory_.path() / "tokenizer.json");
    EngineOptions options;
    options.n_threads = 2;
    options.chunk = 64;
    engine_ = Engine::open(directory_.path(), options);
  }

  Result answer(const Tokens& tokens, int64_t n, const std::string& salt) {
    const auto recorder = std::make_shared<Recorder>();
    Request request;
    request.tokens = tokens;
    request.max_tokens = n;
    request.ignore_eos = true;
    request.cache_salt = salt;
    const auto generation = begin_generation(*engine_, request, recorder);
    return recorder->wait();
  }

  static Tokens prompt(int n) {
    Tokens all;
    for (int i = 0; i < n; ++i) all.push_back((i * 37 + i * i * 3) % decode::kHybridVocab);
    return all;
  }

  io::TestDirectory directory_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(HybridEngine, goes_on_from_a_prompt_that_was_answered_with_the_bits_of_computing_it) {
  for (const int n_prompt : {20, 255, 256, 300}) {
    Tokens tokens = prompt(n_prompt);
    answer(tokens, 6, "kept");
    tokens.insert(tokens.end(), {7, 3, 11, 29});
    const Result again = answer(tokens, 12, "kept");
    EXPECT_EQ(again.reused_tokens, n_prompt);
    EXPECT_EQ(again.tokens, answer(tokens, 12, std::to_string(n_prompt)).tokens) << n_prompt;
  }
}

}  // namespace
}  // namespace sluice::engine
