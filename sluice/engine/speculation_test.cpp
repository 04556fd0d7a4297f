// Whatever is guessed, however often it is right: an answer is the one that plain decoding gives.
#include <gtest/gtest.h>

#include <random>

#include "sluice/decode/match_drafter.h"
#include "sluice/decode/test_hybrid.h"
#include "sluice/engine/generation.h"
#include "sluice/engine/test_engines.h"
#include "sluice/engine/test_recorder.h"

namespace sluice::engine {
namespace {

using Tokens = std::vector<text::Token>;

/// Knows how the timeline goes on, and errs as it is told.
class Oracle : public decode::Drafter {
 public:
  /// wrong(i, n): whether the guess at token n of the timeline, the i-th of its draft, is made wrong.
  using Wrong = std::function<bool(size_t i, size_t n)>;
  Oracle(Tokens whole, Wrong wrong) : whole_(std::move(whole)), wrong_(std::move(wrong)) {}

  decode::Draft draft(std::span<const int32_t> timeline, int64_t most) override {
    decode::Draft draft;
    for (size_t i = 0; std::ssize(draft.tokens) < most && timeline.size() + i < whole_.size();
         ++i) {
      const size_t n = timeline.size() + i;
      draft.tokens.push_back(wrong_(i, n) ? (whole_[n] + 1) % 50 : whole_[n]);
      draft.chances.push_back(1);
    }
    return draft;
  }

 private:
  Tokens whole_;
  Wrong wrong_;
};

/// Of n guesses the n-th is wrong, n from 1 to 8 by turns; then none are made at all.
class NowAndThen : public decode::Drafter {
 public:
  explicit NowAndThen(Tokens whole)
      : oracle_(std::move(whole), [this](size_t i, size_t) { return i == right_; }) {}

  decode::Draft draft(std::span<const int32_t> timeline, int64_t most) override {
    const size_t turn = calls_++ % 16;
    if (turn % 2 == 1) return {};
    right_ = turn / 2;
    return oracle_.draft(timeline, std::min<int64_t>(most, static_cast<int64_t>(right_) + 1));
  }

 private:
  size_t calls_ = 0, right_ = 0;
  Oracle oracle_;
};

/// Says what it must not.
class Broken : public decode::Drafter {
 public:
  decode::Draft draft(std::span<const int32_t>, int64_t) override {
    switch (calls_++ % 4) {
      case 0:
        return {{-5, 1, 2}, {1, 1, 1}};
      case 1:
        return {{1, 2, 3}, {}};
      case 2:
        return {Tokens(1000, 3), std::vector<float>(1000, 1)};
      default:
        return {{1, 1 << 30, 2}, {1, 1, 1}};
    }
  }

 private:
  int calls_ = 0;
};

Result answer(Engine& engine, Request request, std::shared_ptr<decode::Drafter> drafter,
              Recorder::OnLogprob on_logprob = {}) {
  static int n_answers = 0;
  request.cache_salt = std::to_string(++n_answers);
  request.drafter = std::move(drafter);
  const auto recorder = std::make_shared<Recorder>();
  recorder->on_logprob = std::move(on_logprob);
  const auto generation = begin_generation(engine, request, recorder);
  return recorder->wait();
}

Request request_of(Tokens tokens, int64_t n, double temperature) {
  Request request;
  request.tokens = std::move(tokens);
  request.max_tokens = n;
  request.ignore_eos = true;
  request.sampling = {
      .temperature = temperature, .repetition_penalty = 1.1, .frequency_penalty = 0.1, .seed = 5};
  request.top_logprobs = 2;
  return request;
}

/// The kinds of error at which speculation elsewhere changes answers.
std::vector<std::pair<std::string, Oracle::Wrong>> kinds_of_wrong() {
  std::vector<std::pair<std::string, Oracle::Wrong>> all{
      {"never", [](size_t, size_t) { return false; }},
      {"always", [](size_t, size_t) { return true; }},
      {"every fifth token", [](size_t, size_t n) { return n % 5 == 0; }},
      {"around the ends of blocks", [](size_t, size_t n) { return (n + 2) % 256 < 4 || n == 10; }},
      {"at random", [random = std::make_shared<std::mt19937>(3)](size_t, size_t) {
         return (*random)() % 3 == 0;
       }}};
  for (const size_t at : {0, 1, 7, 14})
    all.emplace_back("the guess " + std::to_string(at), [at](size_t i, size_t) { return i == at; });
  return all;
}

void expect_plain_answers(Engine& engine, Engine& plain, int vocab, int n_prompt, int64_t n) {
  Tokens tokens;
  for (int i = 0; i < n_prompt; ++i) tokens.push_back((i * 37 + i * i * 3) % vocab);
  for (const double temperature : {0.0, 1.0}) {
    const Request request = request_of(tokens, n, temperature);
    std::vector<float> wanted;
    const Result expected =
        answer(plain, request, nullptr, [&](float logprob) { wanted.push_back(logprob); });
    ASSERT_EQ(expected.drafted.tokens, 0);
    EXPECT_EQ(expected.drafted.off_because, "it was asked for");
    Tokens whole = tokens;
    whole.insert(whole.end(), expected.tokens.begin(), expected.tokens.end());
    for (const auto& [name, wrong] : kinds_of_wrong()) {
      std::vector<float> got;
      const Result result = answer(engine, request, std::make_shared<Oracle>(whole, wrong),
                                   [&](float logprob) { got.push_back(logprob); });
      EXPECT_EQ(result.tokens, expected.tokens) << name << " wrong, " << n_prompt;
      EXPECT_EQ(got, wanted) << name << " wrong, " << n_prompt;
      EXPECT_TRUE(name != "never" || result.drafted.accepted == result.drafted.tokens);
      EXPECT_TRUE(name != "always" || result.drafted.accepted == 0);
      EXPECT_GT(result.drafted.tokens, 0) << name;
    }
    EXPECT_EQ(answer(engine, request, std::make_shared<NowAndThen>(whole)).tokens, expected.tokens);
    EXPECT_EQ(answer(engine, request, std::make_shared<Broken>()).tokens, expected.tokens);
    EXPECT_EQ(answer(engine, request, std::make_shared<decode::MatchDrafter>()).tokens,
              expected.tokens);
  }
}

EngineOptions with(Speculation speculation) {
  EngineOptions options;
  options.n_threads = 2;
  options.context = 1024;
  options.chunk = 64;
  options.speculation = speculation;
  return options;
}

TEST(Speculation, changes_no_token_of_a_mixture_nor_its_logprob) {
  const auto engine = Engine::open(kTinyMoe, with(Speculation::always));
  const auto plain = Engine::open(kTinyMoe, with(Speculation::off));
  for (const int n_prompt : {5, 250}) expect_plain_answers(*engine, *plain, 50, n_prompt, 40);
}

void expect_plain_answers_of(const decode::HybridModel& model,
                             const std::vector<int>& prompt_lengths, int64_t n) {
  const io::TestDirectory directory;
  decode::write_hybrid(directory, model);
  std::filesystem::copy_file(kTinyMoe / "tokenizer.json", directory.path() / "tokenizer.json");
  EngineOptions always = with(Speculation::always), off = with(Speculation::off);
  always.load = off.load = model.options;
  const auto engine = Engine::open(directory.path(), always);
  const auto plain = Engine::open(directory.path(), off);
  for (const int n_prompt : prompt_lengths)
    expect_plain_answers(*engine, *plain, decode::kHybridVocab, n_prompt, n);
}

TEST(Speculation, changes_no_token_of_layers_that_carry_states) {
  expect_plain_answers_of(decode::gated_delta_model(), {5, 230}, 50);
  expect_plain_answers_of(decode::with_states(decode::gated_delta_model(), kernels::KvType::bf16),
                          {230}, 50);
}

/// Wrong guesses over the ends of blocks, where blocks have been dropped already; also beside states.
TEST(Speculation, changes_no_token_of_layers_with_windows) {
  expect_plain_answers_of(decode::windows_model(), {5, 700}, 340);
  expect_plain_answers_of(decode::griffin_model(), {700}, 80);
}

TEST(Speculation, changes_no_token_within_a_budget) {
  const auto engine = open_streamed(with(Speculation::always), 100 << 10);
  const auto plain = Engine::open(kTinyMoe, with(Speculation::off));
  expect_plain_answers(*engine, *plain, 50, 20, 24);
}

TEST(Speculation, ends_where_plain_decoding_ends) {
  const auto engine = Engine::open(kTinyMoe, with(Speculation::always));
  const auto plain = Engine::open(kTinyMoe, with(Speculation::off));
  Request request = request_of(prompt(30), 64, 1.0);
  const Result whole = answer(*plain, request, nullptr);
  Tokens timeline = request.tokens;
  timeline.insert(timeline.end(), whole.tokens.begin(), whole.tokens.end());
  const auto never = [](size_t, size_t) { return false; };
  for (int64_t n = 0; n < 20; ++n) {
    request.max_tokens = n;
    const Result result = answer(*engine, request, std::make_shared<Oracle>(timeline, never));
    EXPECT_EQ(std::ssize(result.tokens), n);
    EXPECT_EQ(result.finish_reason, FinishReason::max_tokens);
  }
  request.max_tokens = 64;
  for (size_t at = 3; at + 8 < whole.text.size(); at += 9) {
    request.stop = {whole.text.substr(at, 4)};
    const Result expected = answer(*plain, request, nullptr);
    const Result result = answer(*engine, request, std::make_shared<Oracle>(timeline, never));
    EXPECT_EQ(result.text, expected.text);
    EXPECT_EQ(result.tokens, expected.tokens);
    EXPECT_EQ(result.finish_reason, FinishReason::stop_string);
  }
}

/// The end token within guesses that are right but for what follows it: nothing of that is told or counted.
TEST(Speculation, ends_with_the_end_token) {
  const auto engine = Engine::open(kTinyMoe, with(Speculation::always));
  const auto plain = Engine::open(kTinyMoe, with(Speculation::off));
  const text::Token end = engine->tokenizer().eos().front();
  int n_ended = 0;
  for (int i = 0; i < 12; ++i) {
    Request request = request_of(prompt(30, 100 + i), 64, 1.0);
    request.ignore_eos = false;
    request.sampling.logit_bias = {{end, 4.0F + static_cast<float>(i % 4)}};
    std::vector<float> wanted, got;
    const Result expected =
        answer(*plain, request, nullptr, [&](float logprob) { wanted.push_back(logprob); });
    Tokens timeline = request.tokens;
    timeline.insert(timeline.end(), expected.tokens.begin(), expected.tokens.end());
    timeline.insert(timeline.end(), {end, 7, 8, 9, 10, 11, 12, 13, 14});
    const auto never = [](size_t, size_t) { return false; };
    const Result result = answer(*engine, request, std::make_shared<Oracle>(timeline, never),
                                 [&](float logprob) { got.push_back(logprob); });
    EXPECT_EQ(result.tokens, expected.tokens);
    EXPECT_EQ(result.text, expected.text);
    EXPECT_EQ(result.finish_reason, expected.finish_reason);
    EXPECT_EQ(got, wanted);
    EXPECT_LE(result.drafted.accepted, std::ssize(result.tokens) + 1);
    n_ended += result.finish_reason == FinishReason::eos && result.tokens.size() > 2 ? 1 : 0;
  }
  EXPECT_GT(n_ended, 3);
}

/// Allows tokens by what came before, and ends the text.
class Pattern : public Constraint {
 public:
  void mask(std::span<float> logits) override {
    for (size_t i = 0; i < logits.size(); ++i) {
      if ((i + sum_) % 3 != 0) logits[i] = -std::numeric_limits<float>::infinity();
    }
  }
  bool accept(text::Token token) override {
    EXPECT_EQ((static_cast<size_t>(token) + sum_) % 3, 0U) << "a guess that was not accepted";
    sum_ += static_cast<size_t>(token) % 7 + 1;
    return ++n_ < 30;
  }

 private:
  size_t sum_ = 0, n_ = 0;
};

TEST(Speculation, keeps_to_a_constraint) {
  const auto engine = Engine::open(kTinyMoe, with(Speculation::always));
  const auto plain = Engine::open(kTinyMoe, with(Speculation::off));
  for (const double temperature : {0.0, 1.0}) {
    const auto constrained = [&] {
      Request request = request_of(prompt(30), 64, temperature);
      request.constraint = std::make_shared<Pattern>();
      return request;
    };
    const Result expected = answer(*plain, constrained(), nullptr);
    EXPECT_EQ(expected.tokens.size(), 30U);
    Tokens timeline = constrained().tokens;
    timeline.insert(timeline.end(), expected.tokens.begin(), expected.tokens.end());
    timeline.insert(timeline.end(), 20, 9);
    for (const auto& [name, wrong] : kinds_of_wrong()) {
      const Result result =
          answer(*engine, constrained(), std::make_shared<Oracle>(timeline, wrong));
      EXPECT_EQ(result.tokens, expected.tokens) << name;
      EXPECT_EQ(result.finish_reason, expected.finish_reason) << name;
      EXPECT_GT(result.drafted.tokens, 0) << name;
    }
  }
}

TEST(Speculation, leaves_prefixes_for_prompts_to_come_as_they_were_computed) {
  const auto engine = Engine::open(kTinyMoe, with(Speculation::always));
  const auto plain = Engine::open(kTinyMoe, with(Speculation::off));
  Request request = request_of(prompt(240), 40, 0.0);
  const Result first = answer(*plain, request, nullptr);
  Tokens timeline = request.tokens;
  timeline.insert(timeline.end(), first.tokens.begin(), first.tokens.end());
  Session session(*engine);
  request.drafter = std::make_shared<Oracle>(timeline, [](size_t, size_t n) { return n % 4 == 0; });
  EXPECT_EQ(session.generate(request, [](const Event&) {}).tokens, first.tokens);
  request.tokens = timeline;
  request.tokens.insert(request.tokens.end(), {7, 8, 9});
  request.drafter = nullptr;
  const Result again = session.generate(request, [](const Event&) {});
  EXPECT_GT(again.reused_tokens, 256);
  EXPECT_EQ(again.tokens, answer(*plain, request, nullptr).tokens);
}

/// Several at once, each with guesses of its own, that come and go.
TEST(Speculation, changes_no_token_of_a_batch) {
  const auto engine = Engine::open(kTinyMoe, with(Speculation::always));
  const auto plain = Engine::open(kTinyMoe, with(Speculation::off));
  std::vector<Result> expected;
  std::vector<std::shared_ptr<Recorder>> recorders;
  std::vector<std::unique_ptr<Generation>> generations;
  for (int i = 0; i < 12; ++i) {
    Request request = request_of(prompt(10 + 23 * i, 100 + i), 10 + 3 * i, i % 2 == 0 ? 0.0 : 1.0);
    expected.push_back(answer(*plain, request, nullptr));
    Tokens timeline = request.tokens;
    timeline.insert(timeline.end(), expected.back().tokens.begin(), expected.back().tokens.end());
    const auto wrong = [i](size_t, size_t n) { return n % static_cast<size_t>(i + 2) == 0; };
    request.drafter = std::make_shared<Oracle>(timeline, wrong);
    recorders.push_back(std::make_shared<Recorder>());
    generations.push_back(begin_generation(*engine, request, recorders.back()));
  }
  for (size_t i = 0; i < recorders.size(); ++i) {
    const Result result = recorders[i]->wait();
    EXPECT_EQ(result.tokens, expected[i].tokens) << i;
    EXPECT_GT(result.drafted.accepted, 0) << i;
    EXPECT_EQ(result.drafted.off_because, "") << i;
  }
}

}  // namespace
}  // namespace sluice::engine
