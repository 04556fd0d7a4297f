#include "sluice/decode/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "sluice/base/error.h"

namespace sluice::decode {
namespace {

const std::vector<float> kLogits{1.0F, 3.0F, 2.0F, -1.0F, 0.5F};

/// The tokens that appear in 2000 draws.
std::set<int32_t> drawn(SamplerConfig config) {
  config.temperature = config.temperature == 0 ? 1.0 : config.temperature;
  Sampler sampler(config);
  std::set<int32_t> seen;
  for (int i = 0; i < 2000; ++i) seen.insert(sampler.sample(kLogits, {}));
  return seen;
}

TEST(Sampler, temperature_zero_takes_the_best_token) {
  Sampler sampler({});
  EXPECT_EQ(sampler.sample(kLogits, {}), 1);
  const std::vector<float> ties{2.0F, 5.0F, 5.0F};
  EXPECT_EQ(sampler.sample(ties, {}), 1);
}

TEST(Sampler, draws_follow_the_softmax) {
  Sampler sampler({.temperature = 1.0, .seed = 7});
  std::vector<int> counts(kLogits.size());
  constexpr int kDraws = 40000;
  for (int i = 0; i < kDraws; ++i) ++counts[static_cast<size_t>(sampler.sample(kLogits, {}))];
  double total = 0;
  for (const float logit : kLogits) total += std::exp(logit);
  for (size_t i = 0; i < kLogits.size(); ++i) {
    EXPECT_NEAR(counts[i] / double{kDraws}, std::exp(kLogits[i]) / total, 0.01) << i;
  }
}

TEST(Sampler, each_filter_leaves_what_it_says) {
  EXPECT_EQ(drawn({.top_k = 2}), (std::set<int32_t>{1, 2}));
  EXPECT_EQ(drawn({.top_p = 0.6}), (std::set<int32_t>{1}));  // p(1) is 0.62
  EXPECT_EQ(drawn({.top_p = 0.8}), (std::set<int32_t>{1, 2}));
  EXPECT_EQ(drawn({.min_p = 0.3}), (std::set<int32_t>{1, 2}));  // exp(-1) is 0.37
  EXPECT_EQ(drawn({.xtc_probability = 1.0, .xtc_threshold = 0.2}), (std::set<int32_t>{0, 2, 3, 4}));
}

TEST(Sampler, same_seed_same_tokens) {
  const SamplerConfig config{.temperature = 0.9, .top_k = 4, .top_p = 0.95, .seed = 42};
  Sampler a(config);
  Sampler b(config);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(a.sample(kLogits, {}), b.sample(kLogits, {}));
}

TEST(Sampler, penalties_and_bias_move_the_best_token) {
  const std::vector<int32_t> history{1, 1, 2};
  EXPECT_EQ(Sampler({.repetition_penalty = 4.0}).sample(kLogits, history), 0);
  EXPECT_EQ(Sampler({.presence_penalty = 1.5}).sample(kLogits, history), 1);
  EXPECT_EQ(Sampler({.frequency_penalty = 1.0}).sample(kLogits, history), 0);
  EXPECT_EQ(Sampler({.frequency_penalty = 1.0, .penalty_window = 1}).sample(kLogits, history), 1);
  EXPECT_EQ(Sampler({.logit_bias = {{3, 100.0}}}).sample(kLogits, history), 3);
}

TEST(Sampler, logits_that_are_no_numbers_are_never_chosen) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> some{nan, 1.0F, nan, 2.0F};
  EXPECT_EQ(Sampler({}).sample(some, {}), 3);
  Sampler warm({.temperature = 1.0});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(warm.sample(some, {}) % 2, 1);
  const std::vector<float> none{nan, nan};
  EXPECT_THROW(Sampler({}).sample(none, {}), Error);
}

TEST(Sampler, options_out_of_range_are_refused) {
  EXPECT_THROW(Sampler({.temperature = -1}), Error);
  EXPECT_THROW(Sampler({.top_p = 0}), Error);
  EXPECT_THROW(Sampler({.min_p = 2}), Error);
  EXPECT_THROW(Sampler({.repetition_penalty = 0}), Error);
  EXPECT_THROW(Sampler({.temperature = std::numeric_limits<double>::quiet_NaN()}), Error);
}

}  // namespace
}  // namespace sluice::decode
