// A bounded cache (--max-kv-size): what a token sees is a matter of its position alone, so nothing else changes a bit.
#include <gtest/gtest.h>

#include <map>

#include "sluice/engine/generation.h"
#include "sluice/engine/test_engines.h"
#include "sluice/engine/test_recorder.h"

namespace sluice::engine {
namespace {

using Tokens = std::vector<text::Token>;

EngineOptions with(int64_t max_size, int64_t chunk = 512) {
  EngineOptions options;
  options.n_threads = 2;
  options.context = 4096;
  options.chunk = chunk;
  options.load.max_kv_size = max_size;
  return options;
}

TEST(BoundedKv, logits_do_not_depend_on_chunks_and_are_those_of_all_while_all_is_seen) {
  const Tokens tokens = repeating_prompt(1100);
  const auto all = logits_of(*Engine::open(kTinyMoe, with(0)), tokens);
  const size_t row = all.size() / tokens.size();
  // Within the first block, at its end, over it, and as much as there is.
  for (const int64_t size : {5, 256, 260, 700, 1100}) {
    const auto whole = logits_of(*Engine::open(kTinyMoe, with(size, 2048)), tokens);
    for (const int64_t chunk : {300, 31})
      EXPECT_EQ(logits_of(*Engine::open(kTinyMoe, with(size, chunk)), tokens), whole)
          << size << " in chunks of " << chunk;
    const size_t seen = static_cast<size_t>(size) * row;
    EXPECT_TRUE(std::equal(all.begin(), all.begin() + static_cast<ptrdiff_t>(seen), whole.begin()))
        << size;
    EXPECT_EQ(whole == all, size == 1100) << size;
  }
}

TEST(BoundedKv, answers_do_not_depend_on_guesses_batches_or_what_was_there_before) {
  for (const int64_t size : {64, 400}) {
    EngineOptions plain = with(size);
    plain.speculation = Speculation::off;
    const auto alone = Engine::open(kTinyMoe, plain);
    std::vector<Request> requests;
    std::vector<Tokens> expected;
    for (const int n : {890, 750, 511, 300}) {
      requests.push_back(sampled_request(repeating_prompt(n), 40, n % 4 == 0 ? 0.0 : 1.0));
      requests.back().cache_salt = std::to_string(n);
      expected.push_back(generated(*alone, requests.back()).tokens);
    }
    EngineOptions guessing = with(size, 100);
    guessing.speculation = Speculation::always;
    const auto engine = Engine::open(kTinyMoe, guessing);
    const AskedAtOnce asked(*engine, requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(asked.wait(i).tokens, expected[i]) << i;
      const Result again = generated(*engine, requests[i]);
      EXPECT_GT(again.reused_tokens, 256);
      EXPECT_EQ(again.tokens, expected[i]) << i;
      Request longer = requests[i];
      longer.tokens.insert(longer.tokens.end(), expected[i].begin(), expected[i].end());
      longer.tokens.insert(longer.tokens.end(), {7, 8, 9});
      const Result went_on = generated(*engine, longer);
      EXPECT_GT(went_on.reused_tokens, std::ssize(requests[i].tokens));
      longer.cache_salt = "alone " + std::to_string(i);
      EXPECT_EQ(went_on.tokens, generated(*alone, longer).tokens) << i;
    }
  }
}

TEST(BoundedKv, comes_back_from_disk_to_the_bit_and_only_to_the_same_size) {
  const io::TestDirectory directory;
  Request request = sampled_request(repeating_prompt(1300), 20, 1);
  request.uses_disk = true;
  for (const int64_t size : {0, 300, 301}) {
    EngineOptions options = with(size);
    options.disk_cache.folder = directory.path();
    options.disk_cache.even_if_slower = true;
    const Result first = generated(*Engine::open(kTinyMoe, options), request);
    EXPECT_EQ(first.reused_tokens, 0) << "what other sizes have written";
    const Result again = generated(*Engine::open(kTinyMoe, options), request);
    EXPECT_EQ(again.reused_tokens, 1280);
    EXPECT_EQ(again.tokens, first.tokens);
  }
}

TEST(BoundedKv, takes_the_same_memory_at_any_length_and_no_more_than_was_planned) {
  std::map<int64_t, Bytes> planned, taken;
  for (const int64_t context : {4096, 1 << 20}) {
    EngineOptions options = with(512, 128);
    options.context = context;
    options.ram = Bytes{1 << 30};
    options.baseline = Bytes{0};
    options.speculation = Speculation::off;  // its book of the timeline grows with it
    const auto engine = Engine::open(kTinyMoe, options);
    logits_of(*engine, repeating_prompt(static_cast<int>(std::min<int64_t>(context, 6000))));
    EXPECT_LE(engine->kv_bytes(), engine->plan()->kv);
    planned[context] = engine->plan()->total;
    taken[context] = engine->kv_bytes();
  }
  EXPECT_EQ(planned[4096], planned[1 << 20]);
  EXPECT_EQ(taken[4096], taken[1 << 20]);
}

TEST(BoundedKv, refuses_what_it_cannot_be) {
  EngineOptions both = with(512);
  both.load.kv_code = {8, 8};
  EXPECT_NE(
      std::string(io::error_of([&] { Engine::open(kTinyMoe, both); }).what()).find("--kv-bits"),
      std::string::npos);
  for (const int64_t size : {int64_t{-1}, int64_t{4}, int64_t{1} << 40})
    EXPECT_THROW(Engine::open(kTinyMoe, with(size)), Error) << size;
}

}  // namespace
}  // namespace sluice::engine
