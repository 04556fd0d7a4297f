#include "sluice/decode/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "sluice/base/error.h"

namespace sluice::decode {
namespace {

const std::vector<float> kLogits{1.0F, 3.0F, 2.0F, -1.0F, 0.5F};

/// The tokens that appear in 2000 draws.
std::set<int32_t> drawn(SamplerConfig config) {
  config.temperature = config.temperature == 0 ? 1.0 : config.temperature;
  const Sampler sampler(config);
  std::set<int32_t> seen;
  for (int i = 0; i < 2000; ++i) seen.insert(sampler.sample(kLogits, {}, i));
  return seen;
}

TEST(Sampler, temperature_zero_takes_the_best_token) {
  const Sampler sampler({});
  EXPECT_EQ(sampler.sample(kLogits, {}, 0), 1);
  const std::vector<float> ties{2.0F, 5.0F, 5.0F};
  EXPECT_EQ(sampler.sample(ties, {}, 0), 1);
}

/// How often each token is drawn, of all draws, by positions of one seed or by seeds of one position.
std::vector<double> frequencies(SamplerConfig config, bool by_seed) {
  constexpr int kDraws = 40000;
  std::vector<double> shares(kLogits.size());
  for (int i = 0; i < kDraws; ++i) {
    if (by_seed) config.seed = static_cast<uint64_t>(i);
    ++shares[static_cast<size_t>(Sampler(config).sample(kLogits, {}, by_seed ? 3 : i))];
  }
  for (double& share : shares) share /= kDraws;
  return shares;
}

TEST(Sampler, draws_follow_the_softmax) {
  double total = 0;
  for (const float logit : kLogits) total += std::exp(logit);
  for (const bool by_seed : {false, true}) {
    const auto shares = frequencies({.temperature = 1.0, .seed = 7}, by_seed);
    for (size_t i = 0; i < kLogits.size(); ++i)
      EXPECT_NEAR(shares[i], std::exp(kLogits[i]) / total, 0.01) << i;
  }
}

TEST(Sampler, xtc_strikes_as_often_as_it_says) {
  // Tokens 1 and 2 are above the threshold: where it strikes, 1 is gone.
  const auto shares =
      frequencies({.temperature = 1.0, .xtc_probability = 0.5, .xtc_threshold = 0.2}, false);
  const auto without = frequencies({.temperature = 1.0}, false);
  EXPECT_NEAR(shares[1], without[1] / 2, 0.01);
}

TEST(Sampler, each_filter_leaves_what_it_says) {
  EXPECT_EQ(drawn({.top_k = 2}), (std::set<int32_t>{1, 2}));
  EXPECT_EQ(drawn({.top_p = 0.6}), (std::set<int32_t>{1}));  // p(1) is 0.62
  EXPECT_EQ(drawn({.top_p = 0.8}), (std::set<int32_t>{1, 2}));
  EXPECT_EQ(drawn({.min_p = 0.3}), (std::set<int32_t>{1, 2}));  // exp(-1) is 0.37
  EXPECT_EQ(drawn({.xtc_probability = 1.0, .xtc_threshold = 0.2}), (std::set<int32_t>{0, 2, 3, 4}));
}

TEST(Sampler, a_choice_depends_on_seed_and_position_and_not_on_earlier_ones) {
  const SamplerConfig config{.temperature = 0.9, .top_k = 4, .top_p = 0.95, .seed = 42};
  const Sampler forward(config), backward(config);
  std::vector<int32_t> tokens;
  for (int i = 0; i < 200; ++i) tokens.push_back(forward.sample(kLogits, {}, i));
  for (int i = 200; i-- > 0;) {
    EXPECT_EQ(backward.sample(kLogits, {}, i), tokens[static_cast<size_t>(i)]);
    backward.sample(kLogits, {}, i);  // once more: as a retry does
  }
  EXPECT_EQ(tokens[0], Sampler(config).sample(kLogits, {}, 0));
  EXPECT_GT(std::set<int32_t>(tokens.begin(), tokens.end()).size(), 1u);
}

TEST(Sampler, penalties_and_bias_move_the_best_token) {
  const std::vector<int32_t> history{1, 1, 2};
  EXPECT_EQ(Sampler({.repetition_penalty = 4.0}).sample(kLogits, history, 3), 0);
  EXPECT_EQ(Sampler({.presence_penalty = 1.5}).sample(kLogits, history, 3), 1);
  EXPECT_EQ(Sampler({.frequency_penalty = 1.0}).sample(kLogits, history, 3), 0);
  EXPECT_EQ(Sampler({.frequency_penalty = 1.0, .penalty_window = 1}).sample(kLogits, history, 3),
            1);
  EXPECT_EQ(Sampler({.logit_bias = {{3, 100.0}}}).sample(kLogits, history, 3), 3);
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();

TEST(Sampler, logits_that_are_no_numbers_are_never_chosen) {
  const std::vector<float> some{kNan, 1.0F, kNan, 2.0F, -kInfinity};
  EXPECT_EQ(Sampler({}).sample(some, {}, 0), 3);
  const Sampler warm({.temperature = 1.0});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(warm.sample(some, {}, i) % 2, 1);
}

TEST(Sampler, an_infinite_logit_wins) {
  const std::vector<float> one{kNan, 1.0F, kInfinity, -kInfinity, kLargest};
  const std::vector<float> two{kInfinity, 1.0F, kInfinity};
  for (const double temperature : {0.0, 1e-300, 1.0, 1000.0}) {
    const Sampler sampler({.temperature = temperature, .top_k = 2, .top_p = 0.9, .min_p = 0.1});
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(sampler.sample(one, {}, i), 2);
      EXPECT_NE(sampler.sample(two, {}, i), 1);
    }
  }
}

TEST(Sampler, where_no_token_may_follow_there_is_an_error) {
  for (const std::vector<float>& none :
       {std::vector{kNan, kNan}, std::vector{-kInfinity, -kInfinity}, std::vector{kNan, -kInfinity},
        std::vector<float>{}}) {
    EXPECT_THROW(Sampler({}).sample(none, {}, 0), Error);
    EXPECT_THROW(Sampler({.temperature = 1.0}).sample(none, {}, 0), Error);
  }
}

/// Every stage, alone and with others, on all that a model or a bias can make of logits.
TEST(Sampler, hostile_logits_leave_every_stage_a_token_that_may_be_chosen) {
  std::mt19937 random(1);
  const auto any_of = [&](const auto& values) { return values[random() % std::size(values)]; };
  const std::vector<float> logits_of{kNan,  kInfinity, -kInfinity, kLargest, -kLargest, 0.0F,
                                     -0.0F, 1e-45F,    20.0F,      -20.0F,   1.0F};
  const std::vector<double> temperatures{0.0, 1e-300, 0.7, 1000.0}, ps{1e-300, 0.5, 1.0},
      min_ps{0.0, 1e-300, 1.0}, chances{0.0, 0.5, 1.0}, thresholds{0.0, 0.1, 0.5},
      penalties{0.001, 1.0, 1000.0}, biases{-kLargest, 0.0, kLargest};
  const std::vector<int64_t> ks{0, 1, 2, 1000};
  for (int i = 0; i < 20'000; ++i) {
    std::vector<float> logits(1 + random() % 80);
    // One special value among common ones, or anything.
    const bool wild = random() % 2 == 0;
    for (float& logit : logits) logit = wild ? any_of(logits_of) : 0.5F;
    logits[random() % logits.size()] = any_of(logits_of);
    const SamplerConfig config{.temperature = any_of(temperatures),
                               .top_k = any_of(ks),
                               .top_p = any_of(ps),
                               .min_p = any_of(min_ps),
                               .xtc_probability = any_of(chances),
                               .xtc_threshold = any_of(thresholds),
                               .repetition_penalty = any_of(penalties),
                               .logit_bias = {{0, any_of(biases)}},
                               .seed = random()};
    const std::vector<int32_t> history{0, 1, 1};
    int32_t token = -1;
    try {
      token = Sampler(config).sample(logits, history, i);
    } catch (const Error&) {
      // A bias and a penalty together can make -infinity of token 0's.
      EXPECT_TRUE(std::ranges::all_of(std::span(logits).subspan(1),
                                      [](float x) { return !(x > -kLargest); }));
      continue;
    }
    ASSERT_GE(token, 0);
    ASSERT_LT(static_cast<size_t>(token), logits.size());
    ASSERT_GT(logits[static_cast<size_t>(token)], -kInfinity) << i;  // and no NaN
  }
}

TEST(Sampler, options_out_of_range_are_refused) {
  EXPECT_THROW(Sampler({.temperature = -1}), Error);
  EXPECT_THROW(Sampler({.top_p = 0}), Error);
  EXPECT_THROW(Sampler({.min_p = 2}), Error);
  EXPECT_THROW(Sampler({.repetition_penalty = 0}), Error);
  EXPECT_THROW(Sampler({.temperature = kNan}), Error);
  for (const double bias : {1e39, -1e39, double{kInfinity}, double{kNan}})
    EXPECT_THROW(Sampler({.logit_bias = {{5, bias}}}), Error);
}

}  // namespace
}  // namespace sluice::decode
