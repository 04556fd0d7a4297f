// Sequences that come and go at any moment, and what each of them gets.
#include "sluice/engine/scheduler.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <thread>

#include "sluice/base/error.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/engine/generation.h"
#include "sluice/engine/session.h"
#include "sluice/engine/test_recorder.h"

namespace sluice::engine {
namespace {

using Tokens = std::vector<text::Token>;

EngineOptions options() {
  EngineOptions options;
  options.n_threads = 2;
  options.context = 1024;
  options.chunk = 64;
  return options;
}

std::unique_ptr<Engine> open(const EngineOptions& o) { return Engine::open(SLUICE_TINY_MOE, o); }

/// One of some kinds of requests; those of one `family` begin alike.
Request request(int kind, int n_prompt, int64_t n, int family = 0) {
  Request request;
  for (int i = 0; i < n_prompt; ++i)
    request.tokens.push_back(100 + (i * 37 + (i > n_prompt / 2 ? kind * 101 : family * 61)) % 4000);
  request.max_tokens = n;
  request.ignore_eos = true;
  request.sampling = {.temperature = kind % 2 == 0 ? 0.0 : 1.0,
                      .repetition_penalty = 1.1,
                      .seed = static_cast<uint64_t>(kind)};
  request.client = std::to_string(kind % 3);
  return request;
}

Result alone(Engine& engine, Request wanted) {
  const auto recorder = std::make_shared<Recorder>();
  wanted.cache_salt = "alone";
  const auto generation = begin_generation(engine, wanted, recorder);
  return recorder->wait();
}

/// Many requests with random arrivals, cancels and pauses; every accepted answer equals the same request alone.
void storm(Engine& engine, Engine& reference, int n_requests, uint32_t seed, int most_prompt) {
  std::mt19937 random(seed);
  struct One {
    Request request;
    std::shared_ptr<Recorder> recorder;
    std::unique_ptr<Generation> generation;
    bool cancelled = false;
  };
  std::vector<One> all;
  for (int i = 0; i < n_requests; ++i) {
    const int family = static_cast<int>(random() % 3);
    const int n_prompt = 1 + static_cast<int>(random() % static_cast<uint32_t>(most_prompt));
    One one{request(i, n_prompt, static_cast<int64_t>(random() % 20), family),
            std::make_shared<Recorder>(), nullptr, false};
    one.generation = begin_generation(engine, one.request, one.recorder);
    all.push_back(std::move(one));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20000));
    One& other = all[random() % all.size()];
    switch (random() % 8) {
      case 0:
        other.generation->cancel();
        other.cancelled = true;
        break;
      case 1:
        other.generation->set_paused(true);
        break;
      case 2:
        other.generation->set_paused(false);
        break;
      default:
        break;
    }
  }
  for (One& one : all) one.generation->set_paused(false);
  for (size_t i = 0; i < all.size(); ++i) {
    One& one = all[i];
    const Result result = one.recorder->wait();
    const Result expected = alone(reference, one.request);
    if (result.finish_reason == FinishReason::cancelled) {
      EXPECT_TRUE(one.cancelled);
      ASSERT_LE(result.tokens.size(), expected.tokens.size());
      EXPECT_TRUE(std::equal(result.tokens.begin(), result.tokens.end(), expected.tokens.begin()));
    } else {
      EXPECT_EQ(result.tokens, expected.tokens) << "request " << i << " of seed " << seed;
      EXPECT_EQ(result.text, expected.text);
    }
  }
}

TEST(Scheduler, a_storm_of_requests_gets_what_each_would_alone) {
  const auto reference = open(options());
  for (const Policy policy : {Policy::balanced, Policy::prefill_first, Policy::latency}) {
    EngineOptions o = options();
    o.scheduling = policy;
    const auto engine = open(o);
    storm(*engine, *reference, 40, static_cast<uint32_t>(policy) + 1, 400);
    const SchedulerReport report = engine->scheduler();
    EXPECT_EQ(report.waiting + report.active, 0);
  }
}

TEST(Scheduler, blocks_run_out_and_nobody_notices) {
  const auto reference = open(options());
  for (const uint64_t blocks : {5, 8, 12}) {
    const auto engine = open(options());
    Engine::Impl& impl = engine->impl();
    impl.kv_pool.set_cap({blocks * impl.kv_layout->groups[0].block_bytes.count});
    storm(*engine, *reference, 24, static_cast<uint32_t>(blocks), 600);
  }
}

TEST(Scheduler, a_sequence_that_outgrows_the_others_blocks_is_computed_again) {
  const auto engine = open(options());
  Engine::Impl& impl = engine->impl();
  impl.kv_pool.set_cap({3 * impl.kv_layout->groups[0].block_bytes.count});
  // Each fits alone in two blocks and begins in one.
  std::vector<Request> requests{request(1, 240, 100, 1), request(2, 241, 100, 2),
                                request(3, 242, 60, 3)};
  std::vector<std::shared_ptr<Recorder>> recorders;
  std::vector<std::unique_ptr<Generation>> generations;
  for (const Request& one : requests) {
    recorders.push_back(std::make_shared<Recorder>());
    generations.push_back(begin_generation(*engine, one, recorders.back()));
  }
  const auto reference = open(options());
  for (size_t i = 0; i < requests.size(); ++i)
    EXPECT_EQ(recorders[i]->wait().tokens, alone(*reference, requests[i]).tokens) << i;
  EXPECT_GT(engine->scheduler().preemptions, 0);
}

TEST(Scheduler, a_request_that_can_never_fit_fails_alone) {
  const auto engine = open(options());
  Engine::Impl& impl = engine->impl();
  impl.kv_pool.set_cap({2 * impl.kv_layout->groups[0].block_bytes.count});
  const auto large = std::make_shared<Recorder>(), small = std::make_shared<Recorder>();
  const auto a = begin_generation(*engine, request(1, 900, 4), large);
  const auto b = begin_generation(*engine, request(2, 20, 4, 1), small);
  try {
    large->wait();
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::over_budget);
  }
  EXPECT_EQ(small->wait().tokens.size(), 4U);
}

TEST(Scheduler, prompts_that_begin_alike_are_computed_once) {
  const auto engine = open(options());
  std::vector<std::shared_ptr<Recorder>> recorders;
  std::vector<std::unique_ptr<Generation>> generations;
  for (int kind = 0; kind < 6; ++kind) {
    Request one = request(kind, 500, 4);
    recorders.push_back(std::make_shared<Recorder>());
    generations.push_back(begin_generation(*engine, one, recorders.back()));
  }
  int64_t cached = 0;
  for (const auto& recorder : recorders) {
    recorder->wait();
    cached += recorder->cached();
  }
  EXPECT_GE(cached, 5 * 250);
  Request same = request(2, 500, 4);
  const auto again = std::make_shared<Recorder>();
  const auto generation = begin_generation(*engine, same, again);
  EXPECT_EQ(again->wait().tokens, recorders[2]->wait().tokens);
  EXPECT_EQ(again->cached(), 499) << "all but the one whose logits are wanted";
  same.cache_salt = "somebody else";
  const auto other = std::make_shared<Recorder>();
  const auto apart = begin_generation(*engine, same, other);
  EXPECT_EQ(other->wait().tokens, recorders[2]->wait().tokens);
  EXPECT_EQ(other->cached(), 0);
}

TEST(Scheduler, who_decodes_goes_on_while_a_long_prompt_is_computed) {
  EngineOptions o = options();
  o.scheduling = Policy::latency;
  const auto engine = open(o);
  const auto decoding = std::make_shared<Recorder>(), prompt = std::make_shared<Recorder>();
  const auto a = begin_generation(*engine, request(1, 10, 900, 1), decoding);
  decoding->wait_for_tokens(5);
  const size_t before = decoding->n_tokens();
  const auto b = begin_generation(*engine, request(2, 900, 1, 2), prompt);
  prompt->wait();
  // 900 tokens in pieces of at most 64, and a token with each of them.
  EXPECT_GE(decoding->n_tokens(), before + 900 / 64);
}

TEST(Scheduler, a_short_prompt_does_not_wait_for_a_long_one) {
  const auto engine = open(options());
  std::mutex mutex;
  std::string order;
  const auto of = [&](char name) {
    return std::make_shared<Recorder>([&mutex, &order, name] {
      const std::lock_guard lock(mutex);
      order += name;
    });
  };
  const auto long_one = of('l'), short_one = of('s');
  const auto first = begin_generation(*engine, request(0, 950, 1), long_one);
  const auto second = begin_generation(*engine, request(2, 5, 1, 1), short_one);
  long_one->wait();
  short_one->wait();
  EXPECT_EQ(order, "sl");
}

TEST(Scheduler, a_client_with_one_request_does_not_wait_for_all_of_another_ones) {
  const auto engine = open(options());
  Engine::Impl& impl = engine->impl();
  impl.kv_pool.set_cap({2 * impl.kv_layout->groups[0].block_bytes.count});  // one at a time
  std::vector<std::shared_ptr<Recorder>> greedy;
  std::vector<std::unique_ptr<Generation>> generations;
  for (int i = 0; i < 12; ++i) {
    Request one = request(i, 300, 20, i);
    one.client = "greedy";
    greedy.push_back(std::make_shared<Recorder>());
    generations.push_back(begin_generation(*engine, one, greedy.back()));
  }
  greedy[0]->wait_for_tokens(1);
  Request one = request(50, 300, 20, 50);
  one.client = "modest";
  const auto modest = std::make_shared<Recorder>();
  generations.push_back(begin_generation(*engine, one, modest));
  modest->wait();
  EXPECT_EQ(greedy.back()->n_tokens(), 0U);
  for (const auto& recorder : greedy) recorder->wait();
}

TEST(Scheduler, log_probabilities_are_of_the_models_own_distribution) {
  const auto engine = open(options());
  Request one = request(1, 20, 6);
  one.top_logprobs = 5;
  std::vector<Event> events;
  Session session(*engine);
  const Result result = session.generate(one, [&](const Event& event) { events.push_back(event); });
  Tokens timeline = one.tokens;
  for (const Event& event : events) {
    std::vector<float> logits;
    engine->logits(timeline, std::ssize(timeline) - 1,
                   [&](int64_t, auto row) { logits.assign(row.begin(), row.end()); });
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    ASSERT_EQ(event.top.size(), 5U);
    EXPECT_TRUE(std::ranges::is_sorted(event.top, std::greater{}, &TokenLogprob::logprob));
    for (const TokenLogprob& top : event.top)
      EXPECT_NEAR(top.logprob, logits[static_cast<size_t>(top.token)] - std::log(sum), 1e-4);
    EXPECT_NEAR(*event.logprob, logits[static_cast<size_t>(event.token)] - std::log(sum), 1e-4);
    timeline.push_back(event.token);
  }
}

/// Allows one text of tokens.
class OneText : public Constraint {
 public:
  explicit OneText(Tokens text) : text_(std::move(text)) {}
  void mask(std::span<float> logits) override {
    for (size_t i = 0; i < logits.size(); ++i) {
      if (i != static_cast<size_t>(text_[at_])) logits[i] = -std::numeric_limits<float>::infinity();
    }
  }
  bool accept(text::Token token) override {
    EXPECT_EQ(token, text_[at_]);
    return ++at_ < text_.size();
  }

 private:
  Tokens text_;
  size_t at_ = 0;
};

TEST(Scheduler, a_constraint_decides_and_ends_the_answer) {
  const auto engine = open(options());
  const Tokens wanted{700, 3000, 42, 42, 7};
  Request one = request(1, 20, 50);
  one.constraint = std::make_shared<OneText>(wanted);
  Session session(*engine);
  const Result result = session.generate(one, [](const Event&) {});
  EXPECT_EQ(result.tokens, wanted);
  EXPECT_EQ(result.finish_reason, FinishReason::eos);
}

TEST(Scheduler, an_engine_that_goes_away_ends_what_is_under_way) {
  auto engine = open(options());
  const auto recorder = std::make_shared<Recorder>();
  auto generation = begin_generation(*engine, request(1, 20, 1000), recorder);
  recorder->wait_for_tokens(3);
  generation.reset();
  engine.reset();
  EXPECT_EQ(recorder->wait().finish_reason, FinishReason::cancelled);
}

}  // namespace
}  // namespace sluice::engine
