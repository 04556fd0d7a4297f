// A whole model within a budget: what goes wrong with its disk, and what memory pressure does to it, must not
// change a bit of what the others compute.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <deque>
#include <random>
#include <thread>

#include "sluice/engine/engine_impl.h"
#include "sluice/engine/test_engines.h"

namespace sluice::engine {
namespace {

class Streaming : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    EngineOptions options;
    options.n_threads = 2;
    const auto engine = Engine::open(kTinyMoe, options);
    expected_ = logits_of(*engine, prompt(40));
    Session session(*engine);
    expected_answer_ = answer(session, prompt(20));
  }
  static inline std::vector<float> expected_;
  static inline std::vector<text::Token> expected_answer_;
};

TEST_F(Streaming, resizing_while_it_computes_changes_nothing) {
  EngineOptions options;
  options.chunk = 9;
  const auto engine = open_streamed(options, 5'000'000);
  ASSERT_FALSE(engine->plan()->mapped);
  const uint64_t slot = engine->plan()->per_slot.count;
  const auto most = static_cast<uint64_t>(engine->plan()->expert_slots);
  constexpr uint64_t kLeast = 24;  // 6 layers of 4
  ASSERT_GT(most, kLeast + 20);
  std::atomic<bool> done{false};
  std::thread pressure([&] {
    std::mt19937 random(1);
    while (!done) {
      const uint64_t slots = kLeast + random() % (most - kLeast + 1);
      engine->impl().loaded.store->resize_experts({slots * slot});
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 500));
    }
  });
  Session session(*engine);
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(logits_of(*engine, prompt(40)) == expected_);
    session.reset();
    EXPECT_EQ(answer(session, prompt(20)), expected_answer_);
  }
  done = true;
  pressure.join();
  EXPECT_GT(engine->statistics()->experts.evictions, 0);
}

TEST_F(Streaming, a_token_that_evicts_all_it_used_gets_the_same_bits) {
  EngineOptions options;
  options.chunk = 1;
  const auto engine = open_streamed(options, 100'000);
  const Bytes one_token{24 * engine->plan()->per_slot.count};  // 6 layers of 4
  EXPECT_EQ(engine->impl().loaded.store->resize_experts(one_token), one_token);
  EXPECT_TRUE(logits_of(*engine, prompt(40)) == expected_);
}

TEST_F(Streaming, short_answers_and_a_slow_disk_change_nothing) {
  EngineOptions options;
  std::atomic<uint64_t> count{0};
  options.reader.tamper = [&](size_t, uint64_t, int64_t bytes) -> int64_t {
    const uint64_t n = count++;
    if (n % 7 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return n % 3 == 0 && bytes > 4096 ? bytes / 2 : bytes;
  };
  const auto engine = open_streamed(options, 1'000'000);
  EXPECT_TRUE(logits_of(*engine, prompt(40)) == expected_);
  Session session(*engine);
  EXPECT_EQ(answer(session, prompt(20)), expected_answer_);
}

TEST_F(Streaming, a_failed_read_fails_its_request_and_no_other) {
  EngineOptions options;
  std::atomic<bool> broken{false};
  std::atomic<int> failures{0};
  options.reader.tamper = [&](size_t, uint64_t, int64_t bytes) -> int64_t {
    if (!broken) return bytes;
    ++failures;
    return -EIO;
  };
  options.n_sequences = 3;  // two sessions, and one of logits
  const auto engine = open_streamed(options, 500'000);
  Session victim(*engine), other(*engine);
  EXPECT_EQ(answer(other, prompt(20)), expected_answer_);
  for (int round = 0; round < 3; ++round) {
    broken = true;
    try {
      answer(victim, prompt(30 + round));
      FAIL() << "nothing was read";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::io);
      EXPECT_NE(std::string(error.what()).find("check the disk"), std::string::npos)
          << error.what();
    }
    broken = false;
    other.reset();
    EXPECT_EQ(answer(other, prompt(20)), expected_answer_) << "the process lives, and is right";
    victim.reset();
    EXPECT_EQ(answer(victim, prompt(20)), expected_answer_);
  }
  EXPECT_GT(failures, 0);
  EXPECT_GT(engine->statistics()->reads.failed, 0U);
  EXPECT_TRUE(logits_of(*engine, prompt(40)) == expected_);
}

TEST_F(Streaming, sessions_that_have_no_room_beside_each_other_take_turns) {
  const auto engine = open_streamed({}, 500'000);  // for one sequence of 512 tokens
  std::deque<Session> sessions;
  for (int i = 0; i < 5; ++i) sessions.emplace_back(*engine);
  for (int round = 0; round < 2; ++round) {
    for (Session& session : sessions) {
      EXPECT_EQ(answer(session, prompt(20)), expected_answer_);
      EXPECT_LE(engine->kv_bytes(), engine->plan()->kv);
    }
  }
  std::vector<std::thread> threads;
  for (Session& session : sessions)
    threads.emplace_back([&] { EXPECT_EQ(answer(session, prompt(20)), expected_answer_); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(engine->kv_bytes(), engine->plan()->kv);
}

TEST_F(Streaming, a_file_that_is_cut_short_fails_requests_and_never_gives_a_wrong_token) {
  const std::filesystem::path copy = std::filesystem::path(testing::TempDir()) / "cut-moe";
  std::filesystem::remove_all(copy);
  std::filesystem::copy(kTinyMoe, copy);
  const auto engine = open_streamed({}, 1'000'000, copy);
  Session session(*engine);
  EXPECT_EQ(answer(session, prompt(20)), expected_answer_);
  std::filesystem::resize_file(copy / "model.safetensors", 1'000'000);
  for (int round = 0; round < 2; ++round) {
    session.reset();
    try {
      EXPECT_EQ(answer(session, prompt(40)), std::vector<text::Token>{}) << "nothing was noticed";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::io) << error.what();
    }
  }
}

}  // namespace
}  // namespace sluice::engine
