// Keys and values that memory has no room for: the same bits from a file, whatever else goes on.
#include <gtest/gtest.h>

#include <atomic>

#include "sluice/engine/generation.h"
#include "sluice/engine/test_engines.h"
#include "sluice/engine/test_recorder.h"

namespace sluice::engine {
namespace {

using Tokens = std::vector<text::Token>;

class SpilledKv : public ::testing::Test {
 protected:
  EngineOptions plain() const {
    EngineOptions options;
    options.n_threads = 2;
    options.context = 8192;
    options.baseline = Bytes{0};
    return options;
  }
  /// As much memory as it needs with this context, of which most must be spilled.
  std::unique_ptr<Engine> tight(EngineOptions options) const {
    options.spill.folder = directory.path();
    options.spill.keep_free = {};
    options.ram = least_ram(options);
    return Engine::open(kTinyMoe, options);
  }
  io::TestDirectory directory;
};

TEST_F(SpilledKv, logits_are_those_of_memory) {
  for (const kernels::KvCode code : {kernels::KvCode{}, kernels::KvCode{4, 4}}) {
    EngineOptions options = plain();
    options.load.kv_code = code;
    options.keep_prefixes = false;
    const Tokens tokens = repeating_prompt(code ? 8000 : 4000);
    const auto all = logits_of(*Engine::open(kTinyMoe, options), tokens);
    for (const int64_t chunk : {512, 100}) {
      options.chunk = chunk;
      const auto engine = tight(options);
      EXPECT_EQ(logits_of(*engine, tokens), all) << code.key_bits << " bits, chunks of " << chunk;
      EXPECT_LE(engine->kv_bytes(), engine->plan()->kv);
      EXPECT_GT(engine->spilled()->written.count, 0U);
      EXPECT_GT(engine->spilled()->read, engine->spilled()->written);
      EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
    }
  }
}

TEST_F(SpilledKv, answers_are_those_of_memory_alone_or_at_once) {
  EngineOptions options = plain();
  options.speculation = Speculation::off;
  const auto alone = Engine::open(kTinyMoe, options);
  options.speculation = Speculation::always;
  const auto engine = tight(options);
  std::vector<Request> requests;
  std::vector<Tokens> expected;
  for (const int n : {4100, 900, 2500, 700, 5000}) {
    requests.push_back(sampled_request(repeating_prompt(n, n), 60, n % 4 == 0 ? 0.0 : 1.0));
    requests.back().cache_salt = std::to_string(n);
    expected.push_back(generated(*alone, requests.back()).tokens);
  }
  for (int round = 0; round < 2; ++round) {
    const AskedAtOnce asked(*engine, requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      const Result result = asked.wait(i);
      EXPECT_EQ(result.tokens, expected[i]) << i;
      const int64_t reused = round > 0 ? result.prompt_tokens - 1 : 0;
      EXPECT_EQ(result.reused_tokens, reused) << i;
    }
  }
  EXPECT_LE(engine->kv_bytes(), engine->plan()->kv);
}

TEST_F(SpilledKv, idle_sessions_go_on_where_they_were) {
  const auto alone = Engine::open(kTinyMoe, plain());
  const auto engine = tight(plain());
  const auto nobody = [](const Event&) {};
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<Tokens> timelines;
  for (int i = 0; i < 6; ++i) {
    sessions.push_back(std::make_unique<Session>(*engine));
    timelines.push_back(repeating_prompt(1300, 10 * i));
  }
  for (int turn = 0; turn < 3; ++turn) {
    for (size_t i = 0; i < sessions.size(); ++i) {
      const Result got = sessions[i]->generate(sampled_request(timelines[i], 20), nobody);
      EXPECT_GE(got.reused_tokens, turn > 0 ? 1300 + 20 * turn - 1 : 0) << i;
      EXPECT_EQ(got.tokens,
                Session(*alone).generate(sampled_request(timelines[i], 20), nobody).tokens);
      timelines[i].insert(timelines[i].end(), got.tokens.begin(), got.tokens.end());
      timelines[i].push_back(7);
    }
  }
  EXPECT_GT(engine->spilled()->written.count, 0U);
}

TEST_F(SpilledKv, what_nobody_uses_makes_room_in_the_file_for_what_is_newer) {
  EngineOptions options = plain();
  options.context = 2048;
  const auto engine = tight(options);
  const uint64_t places =
      8 * (2048 / 256 + 1);  // as many as a context of this length may take, several times
  const Request request = sampled_request(repeating_prompt(1800), 4);
  const auto of = [&](int i) {
    Request one = request;
    one.cache_salt = std::to_string(i);
    return one;
  };
  const Tokens expected = generated(*engine, of(0)).tokens;
  const int many = static_cast<int>(places) / 4;  // of 7 blocks each
  for (int i = 1; i < many; ++i) EXPECT_EQ(generated(*engine, of(i)).tokens, expected);
  const Result newest = generated(*engine, of(many - 1)), oldest = generated(*engine, of(0));
  EXPECT_EQ(newest.reused_tokens, 1799);
  EXPECT_EQ(oldest.reused_tokens, 0) << "it was forgotten";
  EXPECT_EQ(oldest.tokens, expected);
}

TEST_F(SpilledKv, damage_ends_the_request_that_needs_it_and_no_other) {
  std::atomic<bool> damages = false;
  EngineOptions options = plain();
  options.spill.tamper = [&](std::span<std::byte> read) {
    if (damages) read[7] ^= std::byte{4};
  };
  const auto engine = tight(options);
  const Request large = sampled_request(repeating_prompt(5000), 40),
                small = sampled_request(repeating_prompt(200, 9), 40);
  const Tokens of_large = generated(*engine, large).tokens,
               of_small = generated(*engine, small).tokens;
  damages = true;
  Request other = large;
  other.tokens.push_back(9);
  const auto hurt = std::make_shared<Recorder>(), well = std::make_shared<Recorder>();
  const auto first = begin_generation(*engine, other, hurt);
  const auto second = begin_generation(*engine, small, well);
  EXPECT_EQ(well->wait().tokens, of_small);
  const Error error = io::error_of([&] { (void)hurt->wait(); });
  EXPECT_NE(std::string(error.what()).find("came back damaged"), std::string::npos) << error.what();
  EXPECT_NE(std::string(error.what()).find(directory.path().string()), std::string::npos);
  damages = false;
  EXPECT_EQ(generated(*engine, large).tokens, of_large) << "what was lost is computed again";
}

TEST_F(SpilledKv, where_nothing_more_may_be_written_requests_are_refused_that_need_it) {
  EngineOptions options = plain();
  options.spill.limit = Bytes{1 << 20};
  const auto engine = tight(options);
  const Error error =
      io::error_of([&] { (void)generated(*engine, sampled_request(repeating_prompt(5000), 4)); });
  EXPECT_EQ(error.kind(), ErrorKind::over_budget);
  EXPECT_NE(std::string(error.what()).find("--spill-limit"), std::string::npos) << error.what();
  EXPECT_THROW(logits_of(*engine, repeating_prompt(5000)), Error);
  EXPECT_EQ(generated(*engine, sampled_request(repeating_prompt(300), 4)).tokens.size(), 4U);
  EXPECT_LE(engine->spilled()->written, options.spill.limit);
}

TEST_F(SpilledKv, is_refused_without_a_budget) {
  EngineOptions options = plain();
  options.spill.folder = directory.path();
  const std::string line = io::error_of([&] { (void)Engine::open(kTinyMoe, options); }).what();
  EXPECT_NE(line.find("--ram"), std::string::npos);
}

}  // namespace
}  // namespace sluice::engine
