#include "sluice/engine/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <limits>
#include <stdexcept>

#include "sluice/base/error.h"
#include "sluice/engine/test_recorder.h"

namespace sluice::engine {
namespace {

const std::filesystem::path kModel = SLUICE_TINY_MOE;
using Tokens = std::vector<text::Token>;

Tokens prompt(int n) {
  Tokens tokens;
  for (int i = 0; i < n; ++i) tokens.push_back(100 + i * 37 % 4000);
  return tokens;
}

std::unique_ptr<Engine> open(int64_t chunk = 512, const std::filesystem::path& trace = {}) {
  EngineOptions options;
  options.n_threads = 2;
  options.context = 1024;
  options.chunk = chunk;
  options.expert_trace = trace;
  return Engine::open(kModel, options);
}

Request sampled(const Tokens& tokens, int64_t n) {
  Request request;
  request.tokens = tokens;
  request.max_tokens = n;
  request.sampling = {.temperature = 1.0, .repetition_penalty = 1.1, .seed = 11};
  request.ignore_eos = true;
  return request;
}

const std::function<void(const Event&)> kNobody = [](const Event&) {};

TEST(Session, a_seeded_text_does_not_depend_on_how_it_comes) {
  constexpr int64_t kTokens = 24;
  const auto engine = open();
  const Tokens expected = Session(*engine).generate(sampled(prompt(40), kTokens), kNobody).tokens;
  ASSERT_EQ(std::ssize(expected), kTokens);
  EXPECT_NE(expected, Session(*engine).generate(sampled(prompt(41), kTokens), kNobody).tokens);

  EXPECT_EQ(Session(*open(7)).generate(sampled(prompt(40), kTokens), kNobody).tokens, expected)
      << "in chunks of 7";
  // Where experts are recorded, no step is begun ahead.
  const auto trace = std::filesystem::path(testing::TempDir()) / "session_test_trace";
  EXPECT_EQ(Session(*open(512, trace)).generate(sampled(prompt(40), kTokens), kNobody).tokens,
            expected)
      << "not ahead";

  // Stopped and gone on with, at each token, in one session and by one answer's events.
  Session session(*engine);
  for (int64_t stop = 1; stop < kTokens; stop += 5) {
    std::atomic<bool> cancel{false};
    Request request = sampled(prompt(40), 900);  // the engine is a few tokens ahead of who stops it
    request.cancel = &cancel;
    int64_t n = 0;
    Result part = session.generate(request, [&](const Event&) { cancel = ++n == stop || cancel; });
    EXPECT_EQ(part.finish_reason, FinishReason::cancelled);
    ASSERT_GE(std::ssize(part.tokens), stop);
    part.tokens.resize(static_cast<size_t>(stop));
    Tokens timeline = prompt(40);
    timeline.insert(timeline.end(), part.tokens.begin(), part.tokens.end());
    const int64_t left = kTokens - std::ssize(part.tokens);
    const Result rest = session.generate(sampled(timeline, left), kNobody);
    Tokens all = part.tokens;
    all.insert(all.end(), rest.tokens.begin(), rest.tokens.end());
    EXPECT_EQ(all, expected) << stop;
  }
}

TEST(Session, a_callback_may_call_the_engine_and_not_its_session) {
  const auto engine = open();
  const Tokens expected = Session(*engine).generate(sampled(prompt(40), 8), kNobody).tokens;
  std::vector<float> logits, logits_within;
  engine->logits(prompt(20), 19, [&](int64_t, auto row) { logits.assign(row.begin(), row.end()); });
  Session session(*engine), other(*engine);
  int refused = 0;
  const Result result = session.generate(sampled(prompt(40), 8), [&](const Event&) {
    engine->logits(prompt(20), 19,
                   [&](int64_t, auto row) { logits_within.assign(row.begin(), row.end()); });
    EXPECT_EQ(logits_within, logits);
    EXPECT_EQ(other.generate(sampled(prompt(40), 8), kNobody).tokens, expected);
    try {
      session.generate(sampled(prompt(40), 8), kNobody);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_request);
      ++refused;
    }
  });
  EXPECT_EQ(result.tokens, expected);
  EXPECT_EQ(refused, 8);
}

TEST(Session, ids_outside_the_vocabulary_are_refused_wherever_they_come_in) {
  const auto engine = open();
  Session session(*engine);
  for (const text::Token token : {-1, 8192, 8197, INT32_MAX, INT32_MIN}) {
    const Tokens tokens{1, token};
    const auto refused = [&](auto&& call) {
      try {
        call();
        ADD_FAILURE() << token;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::bad_request);
        EXPECT_NE(std::string(error.what()).find(std::to_string(token)), std::string::npos);
      }
    };
    refused([&] { engine->check_ids(tokens); });
    refused([&] { engine->logits(tokens, 0, {}); });
    refused([&] { engine->greedy(tokens, 1, {}); });
    refused([&] { session.generate(sampled(tokens, 1), kNobody); });
    Request biased = sampled({1}, 1);
    biased.sampling.logit_bias[token] = 1;
    refused([&] { session.generate(biased, kNobody); });
  }
}

TEST(Session, an_answer_that_a_listener_hears_is_what_generate_gives) {
  const auto engine = open();
  const Tokens expected = Session(*engine).generate(sampled(prompt(300), 8), kNobody).tokens;
  Session session(*engine);
  const auto recorder = std::make_shared<Recorder>();
  const auto generation = session.begin(sampled(prompt(300), 8), recorder);
  EXPECT_EQ(recorder->wait().tokens, expected);
  EXPECT_GT(session.generate(sampled(prompt(300), 1), kNobody).reused_tokens, 0) << "its own";
  EXPECT_EQ(Session(*engine).generate(sampled(prompt(300), 1), kNobody).reused_tokens, 0);
}

/// Lets but one token follow, and throws when it is asked for one too many.
class Stubborn : public Constraint {
 public:
  explicit Stubborn(int most) : left_(most) {}
  void mask(std::span<float> logits) override {
    if (left_-- == 0) throw std::domain_error("no more");
    std::ranges::fill(logits, -std::numeric_limits<float>::infinity());
    logits[17] = 0;
  }
  bool accept(text::Token token) override { return token == 17; }

 private:
  int left_;
};

TEST(Session, what_a_constraint_throws_ends_the_answer_and_nothing_else) {
  const auto engine = open();
  Session session(*engine);
  Request request = sampled(prompt(20), 4);
  request.constraint = std::make_shared<Stubborn>(100);
  EXPECT_EQ(session.generate(request, kNobody).tokens, Tokens(4, 17));
  request.constraint = std::make_shared<Stubborn>(2);
  EXPECT_THROW(session.generate(request, kNobody), std::domain_error);
  EXPECT_EQ(std::ssize(session.generate(sampled(prompt(20), 4), kNobody).tokens), 4);
}

}  // namespace
}  // namespace sluice::engine
