// A text's vector is the same however it was computed.
#include "sluice/engine/embed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "sluice/decode/pooler.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/engine/generation.h"
#include "sluice/engine/test_engines.h"
#include "sluice/engine/test_recorder.h"

namespace sluice::engine {
namespace {

using models::Pooling;
using Texts = std::vector<std::vector<text::Token>>;
using Vectors = std::vector<std::vector<float>>;

std::unique_ptr<Engine> open(int64_t chunk, Pooling pooling) {
  EngineOptions options;
  options.n_threads = 2;
  options.context = 512;
  options.chunk = chunk;
  auto engine = Engine::open(kTinyMoe, options);
  engine->impl().loaded.pooling = pooling;
  return engine;
}

/// Around the edges of blocks and chunks, and some that begin alike.
Texts texts() {
  Texts texts;
  for (const int n : {1, 2, 63, 64, 65, 255, 256, 257, 300}) texts.push_back(prompt(n));
  texts.push_back(prompt(300, 7));
  return texts;
}

Vectors one_by_one(Engine& engine) {
  Vectors vectors;
  for (const auto& tokens : texts()) vectors.push_back(embed(engine, {&tokens, 1})[0]);
  return vectors;
}

class Embed : public testing::TestWithParam<Pooling> {};

TEST_P(Embed, a_vector_does_not_depend_on_chunks_and_batches) {
  const auto whole = open(512, GetParam());
  const Vectors expected = one_by_one(*whole);
  for (const auto& vector : expected) {
    EXPECT_NEAR(std::inner_product(vector.begin(), vector.end(), vector.begin(), 0.0), 1, 1e-5);
  }
  EXPECT_NE(expected[0], expected[1]);
  EXPECT_TRUE(embed(*whole, texts()) == expected);
  for (const int64_t chunk : {5, 64}) {
    const auto engine = open(chunk, GetParam());
    EXPECT_TRUE(embed(*engine, texts()) == expected) << chunk;
  }
}

TEST_P(Embed, beside_answers_and_without_enough_blocks_it_is_the_same) {
  const auto engine = open(64, GetParam());
  const Vectors expected = one_by_one(*engine);
  Engine::Impl& impl = engine->impl();
  impl.kv_pool.set_cap({6 * impl.kv_layout->groups[0].block_bytes.count});
  Request request;
  request.tokens = prompt(100);
  request.max_tokens = 60;
  request.ignore_eos = true;
  const auto alone = std::make_shared<Recorder>(), beside = std::make_shared<Recorder>();
  auto generation = begin_generation(*engine, request, alone);
  const Result answer = alone->wait();
  generation = begin_generation(*engine, request, beside);
  EXPECT_TRUE(embed(*engine, texts()) == expected);
  EXPECT_EQ(beside->wait().tokens, answer.tokens);
}

TEST_P(Embed, streamed_weights_change_no_bit) {
  const Vectors expected = one_by_one(*open(512, GetParam()));
  EngineOptions options;
  options.chunk = 100;  // several passes of a layer for the longer ones
  const auto engine = open_streamed(options, 2'000'000);
  ASSERT_FALSE(engine->plan()->mapped);
  engine->impl().loaded.pooling = GetParam();
  EXPECT_TRUE(embed(*engine, texts()) == expected);
}

INSTANTIATE_TEST_SUITE_P(Both, Embed, testing::Values(Pooling::mean, Pooling::last));

TEST(Embed, a_cancelled_text_has_no_vector_and_a_model_of_another_kind_is_refused) {
  const auto engine = open(1, Pooling::mean);
  const auto recorder = std::make_shared<Recorder>();
  const auto generation =
      begin_generation(*engine, embedding_request(*engine, prompt(400)), recorder);
  generation->cancel();
  const Result result = recorder->wait();
  EXPECT_EQ(result.finish_reason, FinishReason::cancelled);
  EXPECT_TRUE(result.vector.empty());
  engine->impl().loaded.pooling = std::nullopt;
  EXPECT_THROW((void)embed(*engine, texts()), Error);
}

TEST(Embed, fewer_dimensions_have_length_one_too) {
  const std::vector<float> vector{0.6F, 0, 0.8F};
  EXPECT_EQ(decode::shortened(vector, 2), (std::vector<float>{1, 0}));
  EXPECT_EQ(decode::shortened(std::vector<float>{0, 1}, 1), std::vector<float>{0});
}

}  // namespace
}  // namespace sluice::engine
