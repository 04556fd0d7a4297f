// Pruned prompts (--snap-kv): what stays is a matter of the prompt alone, so nothing else changes a bit; and it is nobody else's.
#include <gtest/gtest.h>

#include "sluice/engine/engine_impl.h"
#include "sluice/engine/generation.h"
#include "sluice/engine/test_engines.h"
#include "sluice/engine/test_recorder.h"

namespace sluice::engine {
namespace {

using Tokens = std::vector<text::Token>;
constexpr int64_t kKept = 768;

EngineOptions with(int64_t snap_kv, int64_t chunk = 512) {
  EngineOptions options;
  options.n_threads = 2;
  options.context = 4096;
  options.chunk = chunk;
  options.snap_kv = snap_kv;
  options.speculation = Speculation::off;
  return options;
}

/// What is computed of an answer, to the bit.
struct Answer {
  Tokens tokens;
  std::vector<float> logprobs;
  bool operator==(const Answer&) const = default;
};

Answer answer(Engine& engine, Request request, Result* result = nullptr) {
  request.top_logprobs = 0;
  const auto recorder = std::make_shared<Recorder>();
  Answer got;
  recorder->on_logprob = [&](float logprob) { got.logprobs.push_back(logprob); };
  const auto generation = begin_generation(engine, request, recorder);
  const Result ended = recorder->wait();
  got.tokens = ended.tokens;
  if (result != nullptr) *result = ended;
  return got;
}

TEST(SnapKv, answers_do_not_depend_on_chunks_or_threads) {
  const Request request = sampled_request(prompt(1111), 40);
  Result result;
  const Answer whole = answer(*Engine::open(kTinyMoe, with(kKept, 2048)), request, &result);
  ASSERT_TRUE(result.pruned);
  EXPECT_EQ(result.pruned->kept, kKept);
  EXPECT_EQ(result.pruned->of, 1111);
  EXPECT_EQ(result.n_held, 1111);
  for (const int64_t chunk : {300, 64, 13, 1}) {
    EngineOptions options = with(kKept, chunk);
    options.n_threads = chunk == 300 ? 1 : 3;
    EXPECT_EQ(answer(*Engine::open(kTinyMoe, options), request), whole) << chunk;
  }
  EXPECT_NE(answer(*Engine::open(kTinyMoe, with(0)), request), whole) << "something was left out";
}

TEST(SnapKv, a_prompt_that_fits_is_as_without_it) {
  const auto plain = Engine::open(kTinyMoe, with(0)), pruning = Engine::open(kTinyMoe, with(kKept));
  for (const int n : {500, 767, 768}) {
    Result result;
    const Request request = sampled_request(prompt(n), 40);
    EXPECT_EQ(answer(*pruning, request, &result), answer(*plain, request)) << n;
    EXPECT_FALSE(result.pruned);
  }
  Result result;
  (void)answer(*pruning, sampled_request(prompt(769), 4), &result);
  EXPECT_TRUE(result.pruned);
}

TEST(SnapKv, the_first_token_is_that_of_the_whole_prompt) {
  const Request request = sampled_request(prompt(1500), 1);
  EXPECT_EQ(answer(*Engine::open(kTinyMoe, with(kKept)), request),
            answer(*Engine::open(kTinyMoe, with(0)), request));
}

TEST(SnapKv, answers_do_not_depend_on_guesses_batches_or_what_was_there_before) {
  const auto alone = Engine::open(kTinyMoe, with(kKept));
  std::vector<Request> requests;
  std::vector<Tokens> expected;
  for (const int n : {1500, 1024, 890, 300}) {
    requests.push_back(sampled_request(repeating_prompt(n), 40, n % 4 == 0 ? 0.0 : 1.0));
    requests.back().cache_salt = std::to_string(n);
    expected.push_back(generated(*alone, requests.back()).tokens);
  }
  EngineOptions guessing = with(kKept, 100);
  guessing.speculation = Speculation::always;
  const auto engine = Engine::open(kTinyMoe, guessing);
  const AskedAtOnce asked(*engine, requests);
  int64_t drafted = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const Result first = asked.wait(i);
    EXPECT_EQ(first.tokens, expected[i]) << i;
    drafted += first.drafted.tokens;
    // What was computed before it was pruned is found again, and not what came after.
    const auto n_prompt = std::ssize(requests[i].tokens);
    const bool is_pruned = n_prompt > kKept;
    const Result again = generated(*engine, requests[i]);
    EXPECT_EQ(again.reused_tokens, n_prompt - (is_pruned ? ops::kObserved : 1)) << i;
    EXPECT_EQ(again.tokens, expected[i]) << i;
    Request longer = requests[i];
    longer.tokens.insert(longer.tokens.end(), expected[i].begin(), expected[i].end());
    for (int more = 0; more < 90; ++more) longer.tokens.push_back(7 + more);
    const Result went_on = generated(*engine, longer);
    EXPECT_EQ(went_on.reused_tokens, is_pruned ? n_prompt : n_prompt + 39) << i;
    longer.cache_salt = "alone " + std::to_string(i);
    EXPECT_EQ(went_on.tokens, generated(*alone, longer).tokens) << i;
  }
  EXPECT_GT(drafted, 0);
}

TEST(SnapKv, comes_back_from_disk_as_it_was_before_it_was_pruned) {
  const io::TestDirectory directory;
  Request request = sampled_request(prompt(1500), 20);
  request.uses_disk = true;
  for (const int64_t snap_kv : {kKept, int64_t{0}}) {
    const Answer expected = answer(*Engine::open(kTinyMoe, with(snap_kv)), request);
    EngineOptions options = with(snap_kv);
    options.disk_cache.folder = directory.path();
    options.disk_cache.even_if_slower = true;
    for (const bool again : {false, true}) {
      Result result;
      EXPECT_EQ(answer(*Engine::open(kTinyMoe, options), request, &result), expected);
      const bool is_there = again || snap_kv == 0;  // written by the other
      EXPECT_EQ(result.reused_tokens, is_there ? 1280 : 0);
    }
  }
}

TEST(SnapKv, within_a_budget_it_takes_what_was_planned_and_gives_the_same_bits) {
  const Request request = sampled_request(prompt(3000), 30);
  const Answer expected = answer(*Engine::open(kTinyMoe, with(kKept)), request);
  for (const int64_t chunk : {128, 20}) {
    EngineOptions options = with(kKept, chunk);
    options.keep_prefixes = false;
    options.baseline = Bytes{0};
    options.ram = least_ram(options);
    const auto engine = Engine::open(kTinyMoe, options);
    ASSERT_FALSE(engine->plan()->mapped);
    EXPECT_EQ(answer(*engine, request), expected) << chunk;
    EXPECT_LE(engine->kv_bytes(), engine->plan()->kv);
  }
}

TEST(SnapKv, a_prompt_longer_than_memory_is_pruned_from_its_file) {
  const io::TestDirectory directory;
  const Request request = sampled_request(prompt(3900), 30);
  const Answer expected = answer(*Engine::open(kTinyMoe, with(kKept)), request);
  EngineOptions options = with(kKept);
  options.context = 8192;
  options.baseline = Bytes{0};
  options.keep_prefixes = false;
  options.spill.folder = directory.path();
  options.spill.keep_free = {};
  options.ram = least_ram(options);
  const auto engine = Engine::open(kTinyMoe, options);
  EXPECT_EQ(answer(*engine, request), expected);
  EXPECT_GT(engine->spilled()->read.count, 0U);
}

TEST(SnapKv, a_sequence_that_others_blocks_push_out_is_computed_again) {
  const auto reference = Engine::open(kTinyMoe, with(kKept));
  const auto engine = Engine::open(kTinyMoe, with(kKept));
  Engine::Impl& impl = engine->impl();
  impl.kv_pool.set_cap({11 * impl.kv_layout->groups[0].block_bytes.count});
  std::vector<Request> requests;
  for (const int n : {1000, 1200, 900})
    requests.push_back(sampled_request(prompt(n, n), 600, n == 900 ? 0.0 : 1.0));
  const AskedAtOnce asked(*engine, requests);
  for (size_t i = 0; i < requests.size(); ++i)
    EXPECT_EQ(asked.wait(i).tokens, generated(*reference, requests[i]).tokens) << i;
  EXPECT_GT(engine->scheduler().preemptions, 0);
}

TEST(SnapKv, refuses_what_it_cannot_be) {
  const auto refused = [](const EngineOptions& options) {
    return std::string(io::error_of([&] { Engine::open(kTinyMoe, options); }).what());
  };
  for (const int64_t kept : {-256, 512, 1000})
    EXPECT_NE(refused(with(kept)).find("a multiple of 256 from 768"), std::string::npos) << kept;
  EngineOptions coded = with(1024), bounded = with(1024);
  coded.load.kv_code = {8, 8};
  bounded.load.max_kv_size = 512;
  EXPECT_NE(refused(coded).find("--kv-bits"), std::string::npos);
  EXPECT_NE(refused(bounded).find("--max-kv-size"), std::string::npos);
}

}  // namespace
}  // namespace sluice::engine
