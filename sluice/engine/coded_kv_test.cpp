// Keys and values in few bits: which tokens read them is a matter of positions alone, so nothing else changes a bit.
#include <gtest/gtest.h>

#include <filesystem>

#include "sluice/decode/match_drafter.h"
#include "sluice/engine/generation.h"
#include "sluice/engine/test_engines.h"
#include "sluice/engine/test_recorder.h"

namespace sluice::engine {
namespace {

using Tokens = std::vector<text::Token>;

constexpr kernels::KvCode kCodes[] = {{8, 8}, {8, 4}, {4, 4}};

EngineOptions with(kernels::KvCode code, int64_t chunk = 512, int64_t recent = 128) {
  EngineOptions options;
  options.n_threads = 2;
  options.context = 2048;
  options.chunk = chunk;
  options.load.kv_code = code;
  options.load.kv_recent = recent;
  return options;
}

TEST(CodedKv, logits_do_not_depend_on_chunks) {
  const Tokens tokens = repeating_prompt(890);
  const auto full = logits_of(*Engine::open(kTinyMoe, with({})), tokens);
  for (const kernels::KvCode code : kCodes) {
    for (const int64_t recent : {0, 128}) {
      const auto whole = logits_of(*Engine::open(kTinyMoe, with(code, 2048, recent)), tokens);
      EXPECT_NE(whole, full);
      for (const int64_t chunk : {300, 31, 1}) {
        EXPECT_EQ(logits_of(*Engine::open(kTinyMoe, with(code, chunk, recent)), tokens), whole)
            << chunk;
      }
    }
    const auto far = logits_of(*Engine::open(kTinyMoe, with(code, 64, 1000)), tokens);
    EXPECT_EQ(far, full) << "all of it is recent";
  }
}

TEST(CodedKv, answers_do_not_depend_on_guesses_batches_or_what_was_there_before) {
  for (const kernels::KvCode code : kCodes) {
    EngineOptions plain = with(code);
    plain.speculation = Speculation::off;
    const auto alone = Engine::open(kTinyMoe, plain);
    std::vector<Request> requests;
    std::vector<Tokens> expected;
    for (const int n :
         {890, 750, 511, 640,
          760}) {  // over the ends of blocks, and over where they are read in few bits
      requests.push_back(sampled_request(repeating_prompt(n), 40, n % 4 == 0 ? 0.0 : 1.0));
      requests.back().cache_salt = std::to_string(n);
      expected.push_back(generated(*alone, requests.back()).tokens);
    }
    EngineOptions guessing = with(code, 100);
    guessing.speculation = Speculation::always;
    const auto engine = Engine::open(kTinyMoe, guessing);
    const AskedAtOnce asked(*engine, requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      const Result result = asked.wait(i);
      EXPECT_EQ(result.tokens, expected[i]) << i;
      // And the same once more, from its prefix, and a longer one that goes on from it.
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

TEST(CodedKv, a_session_that_goes_back_gets_the_bits_of_computing_it) {
  const auto engine = Engine::open(kTinyMoe, with({4, 4}, 100));
  Session session(*engine);
  const auto nobody = [](const Event&) {};
  session.generate(sampled_request(repeating_prompt(1500), 20), nobody);
  for (const int n : {1490, 1281, 1279, 900, 300}) {
    Request request = sampled_request(repeating_prompt(n), 20);
    request.tokens.push_back(5);
    const Tokens got = session.generate(request, nobody).tokens;
    EXPECT_EQ(got, Session(*Engine::open(kTinyMoe, with({4, 4}))).generate(request, nobody).tokens)
        << n;
  }
}

TEST(CodedKv, comes_back_from_disk_to_the_bit_and_only_to_the_same_setting) {
  const io::TestDirectory directory;
  Request request = sampled_request(repeating_prompt(1300), 20);
  request.uses_disk = true;
  for (const kernels::KvCode code : kCodes) {
    EngineOptions options = with(code);
    options.disk_cache.folder = directory.path();
    options.disk_cache.even_if_slower = true;
    const Result first = generated(*Engine::open(kTinyMoe, options), request);
    EXPECT_EQ(first.reused_tokens, 0) << "what other settings have written";
    const auto engine = Engine::open(kTinyMoe, options);
    const Result again = generated(*engine, request);
    EXPECT_EQ(again.reused_tokens, 1280);
    EXPECT_EQ(again.tokens, first.tokens);
  }
}

TEST(CodedKv, takes_less_memory_than_floats_and_no_more_than_was_planned) {
  uint64_t full = 0;
  for (const kernels::KvCode code : {kernels::KvCode{}, kCodes[0], kCodes[2]}) {
    EngineOptions options = with(code, 128);
    options.keep_prefixes = false;
    options.context = 4096;
    options.ram = Bytes{1 << 30};
    options.baseline = Bytes{0};
    const auto engine = Engine::open(kTinyMoe, options);
    logits_of(*engine, repeating_prompt(4000));
    EXPECT_LE(engine->kv_bytes(), engine->plan()->kv);
    if (!code) full = engine->kv_bytes().count;
    const double part = static_cast<double>(engine->kv_bytes().count) / static_cast<double>(full);
    // 15 of 16 blocks in 8.3 or 4.5 of 16 bits, and the floats of four.
    EXPECT_LT(part, !code ? 1.1 : code.key_bits == 8 ? 0.8 : 0.56);
  }
}

}  // namespace
}  // namespace sluice::engine
