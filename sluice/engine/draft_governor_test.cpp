#include "sluice/engine/draft_governor.h"

#include <gtest/gtest.h>

#include "sluice/base/error.h"

namespace sluice::engine {
namespace {

using Chances = std::vector<std::vector<float>>;
using Counts = std::vector<int64_t>;

/// Steps of m tokens that take costs[m - 1] seconds.
DraftGovernor measured(std::vector<double> costs) {
  DraftGovernor governor(Speculation::automatic);
  for (int round = 0; round < 20; ++round) {
    for (size_t m = costs.size(); m >= 1; --m)
      governor.add(static_cast<int64_t>(m), static_cast<int64_t>(m), static_cast<int64_t>(m),
                   costs[m - 1]);
  }
  return governor;
}

TEST(DraftGovernor, checks_as_many_guesses_as_give_most_tokens_a_second) {
  const DraftGovernor governor = measured({1, 1.03, 1.06, 1.12, 2.2, 2.3, 2.4, 2.65});
  const auto chain = [](float chance) { return Chances{std::vector<float>(7, chance)}; };
  EXPECT_EQ(governor.choose(chain(0.02F), 1, 15), Counts{0});
  EXPECT_EQ(governor.choose(chain(0.5F), 1, 15), Counts{3}) << "the plateau's end";
  EXPECT_EQ(governor.choose(chain(0.99F), 1, 15), Counts{3}) << "3.9 / 1.12 > 7.7 / 2.65";
  EXPECT_EQ(governor.choose(chain(0.99F), 1, 2), Counts{2});
}

TEST(DraftGovernor, sees_past_a_step_in_the_costs) {
  const DraftGovernor governor = measured({1, 2, 2.1, 2.2, 2.3});
  EXPECT_EQ(governor.choose(Chances{{1, 1, 1, 1}}, 1, 15), Counts{4});
  EXPECT_EQ(governor.choose(Chances{{1}}, 1, 15), Counts{0}) << "two tokens for twice the time";
}

TEST(DraftGovernor, takes_the_best_guesses_of_all_sequences) {
  const DraftGovernor governor = measured({1, 1, 1, 1.1, 1.2, 1.7, 3});
  const Counts counts = governor.choose(Chances{{0.9F, 0.9F, 0.1F}, {0.2F, 0.9F}, {}}, 3, 15);
  EXPECT_EQ(counts, (Counts{2, 0, 0}));
}

TEST(DraftGovernor, wants_more_of_guesses_that_lost_time) {
  DraftGovernor governor = measured({1, 1.5, 1.6});
  EXPECT_EQ(governor.choose(Chances{{0.75F}}, 1, 15), Counts{0}) << "it starts with care";
  for (int i = 0; i < 500; ++i) governor.add(1, 1, 1, 1);
  EXPECT_EQ(governor.choose(Chances{{0.75F}}, 1, 15), Counts{1});
  for (int i = 0; i < 200; ++i) governor.add(1, 2, 1, 1.5);
  EXPECT_EQ(governor.choose(Chances{{0.75F}}, 1, 15), Counts{0});
  for (int i = 0; i < 500; ++i) governor.add(1, 1, 1, 1);
  EXPECT_EQ(governor.choose(Chances{{0.75F}}, 1, 15), Counts{1}) << "but not for ever";
}

TEST(DraftGovernor, infers_costs_that_were_not_measured) {
  DraftGovernor governor(Speculation::automatic);
  EXPECT_EQ(governor.choose(Chances{{1}}, 1, 15), Counts{0}) << "nothing is known";
  governor.add(1, 1, 1, 2);
  EXPECT_EQ(governor.choose(Chances{{1, 1, 1}}, 1, 15), Counts{3}) << "to be tried";
  governor.add(9, 9, 9, 10);
  EXPECT_DOUBLE_EQ(governor.seconds_of(5), 6);
  EXPECT_GT(governor.seconds_of(20), 10);
}

TEST(DraftGovernor, has_guesses_made_where_they_save_more_time_than_they_take) {
  DraftGovernor governor = measured({1, 1.03, 1.06, 1.12, 2.2, 2.3, 2.4, 2.65});
  EXPECT_EQ(governor.worth_making(1, 1, {.seconds = 0.01, .chance = 0.9}, 15), 3);
  EXPECT_EQ(governor.worth_making(1, 1, {.seconds = 0.01, .chance = 0.9}, 2), 2);
  EXPECT_EQ(governor.worth_making(1, 1, {.seconds = 0.5, .chance = 0.9}, 15), 2)
      << "2.71 / 2.06 > 3.439 / 2.62";
  EXPECT_EQ(governor.worth_making(1, 1, {.seconds = 0.5, .chance = 0.5}, 15), 0);
  EXPECT_EQ(governor.worth_making(1, 1, {}, 15), 2) << "to be measured";
  EXPECT_EQ(DraftGovernor(Speculation::off).worth_making(1, 1, {.seconds = 0.01}, 15), 0);
  EXPECT_EQ(DraftGovernor(Speculation::always).worth_making(1, 1, {.seconds = 9}, 15), 15);
  EXPECT_EQ(DraftGovernor(Speculation::automatic).worth_making(1, 1, {}, 15), 0) << "unmeasured";
}

TEST(DraftGovernor, counts_the_time_in_which_guesses_were_made_against_them) {
  DraftGovernor governor = measured({1, 1.1, 1.2});
  ASSERT_EQ(governor.choose(Chances{{0.6F}}, 1, 15), Counts{1});
  for (int i = 0; i < 200; ++i) governor.add(1, 2, 2, 1.1, 2);
  EXPECT_DOUBLE_EQ(governor.seconds_of(2), 1.1) << "which is not what checking takes";
  EXPECT_EQ(governor.choose(Chances{{0.6F}}, 1, 15), Counts{0});
  EXPECT_EQ(governor.choose(Chances{{0.9F}}, 1, 15), Counts{1}) << "which promises enough";
}

TEST(DraftGovernor, obeys) {
  DraftGovernor never(Speculation::off), always(Speculation::always);
  EXPECT_EQ(never.choose(Chances{{1}, {1}}, 2, 15), (Counts{0, 0}));
  EXPECT_EQ(always.choose(Chances{{0}, {0, 0}}, 2, 2).size(), 2U);
  EXPECT_EQ(always.choose(Chances{{0, 0, 0}}, 1, 2), Counts{2});
  EXPECT_EQ(speculating_named("auto").speculation, Speculation::automatic);
  EXPECT_EQ(speculating_named("mtp").guessers, Guessers::layer);
  EXPECT_THROW(speculating_named("sometimes"), Error);
}

}  // namespace
}  // namespace sluice::engine
