// One engine asked by many threads at once, while one cancels and another takes its memory: each gets the bits it gets
// alone. It is for ThreadSanitizer above all.
#include <gtest/gtest.h>

#include <atomic>
#include <random>

#include "sluice/base/threads.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/engine/test_engines.h"

namespace sluice::engine {
namespace {

using Tokens = std::vector<text::Token>;

struct Asked {
  Tokens prompt, answer;
};

/// What three threads will ask, and what an engine without a budget answers.
std::vector<Asked> questions() {
  EngineOptions options;
  options.n_threads = 2;
  const auto engine = Engine::open(kTinyMoe, options);
  std::vector<Asked> all;
  for (const int n : {5, 20, 33}) {
    Session session(*engine);
    all.push_back({prompt(n, 50 + n), answer(session, prompt(n, 50 + n))});
  }
  return all;
}

void ask(Engine& engine, const Asked& asked, int rounds) {
  Session session(engine);
  for (int i = 0; i < rounds; ++i) {
    EXPECT_EQ(answer(session, asked.prompt), asked.answer);
    if (i % 2 == 0) session.reset();
  }
}

/// Has a thread of its own cancel each answer at some time.
void ask_and_cancel(Engine& engine, const Asked& asked, int rounds) {
  Session session(engine);
  std::mt19937 random(1);
  for (int i = 0; i < rounds; ++i) {
    std::atomic<bool> cancel{false};
    Threads canceller;
    const std::chrono::microseconds after(random() % 20'000);
    canceller.start("cancels", [&, after] {
      std::this_thread::sleep_for(after);
      cancel = true;
    });
    const Tokens got = answer(session, asked.prompt, &cancel);
    ASSERT_LE(got.size(), asked.answer.size());
    EXPECT_TRUE(std::equal(got.begin(), got.end(), asked.answer.begin()));
  }
  EXPECT_EQ(answer(session, asked.prompt), asked.answer) << "it goes on from what is left";
}

TEST(ManyThreads, each_gets_what_it_gets_alone_whoever_cancels_and_takes_memory) {
  const std::vector<Asked> all = questions();
  EngineOptions options;
  options.n_sequences = 6;
  options.chunk = 16;
  const auto engine = open_streamed(options, 1'000'000);
  ASSERT_FALSE(engine->plan()->mapped);
  const uint64_t slot = engine->plan()->per_slot.count;
  const auto most = static_cast<uint64_t>(engine->plan()->expert_slots);
  const std::vector<float> logits = logits_of(*engine, prompt(10));
  std::atomic<bool> done{false};
  Threads watchers;
  watchers.start("takes memory", [&] {
    std::mt19937 random(2);
    constexpr uint64_t kLeast = 24;  // 6 layers of 4
    while (!done) {
      const uint64_t slots = kLeast + random() % (most - kLeast + 1);
      engine->impl().loaded.store->resize_experts({slots * slot});
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 500));
    }
  });
  watchers.start("looks on", [&] {
    while (!done) {
      EXPECT_EQ(engine->statistics()->reads.failed, 0U);
      EXPECT_LE(engine->kv_bytes(), engine->plan()->kv);
      (void)engine->governor();
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
  Threads askers;
  for (const Asked& asked : all) askers.start("asks", [&] { ask(*engine, asked, 4); });
  askers.start("cancels", [&] { ask_and_cancel(*engine, all[1], 10); });
  askers.start("wants logits", [&] {
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(logits_of(*engine, prompt(10)) == logits);
  });
  askers.join();
  done = true;
}

}  // namespace
}  // namespace sluice::engine
