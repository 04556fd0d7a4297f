#include "sluice/residency/experts/prefetcher.h"

#include <gtest/gtest.h>

#include "sluice/io/reads/reader_test_files.h"

namespace sluice::residency {
namespace {

constexpr int kExperts = 16, kSlots = 8;

/// One layer of experts of a page each.
ExpertFiles one_layer() {
  ExpertFiles files{.n_layers = 1, .n_experts = kExperts, .extents = {}};
  for (uint64_t e = 0; e < kExperts; ++e) files.extents.push_back({{0, e * 4096, 4096}});
  return files;
}

/// Guesses, then asks for what is needed, from an empty pool each time.
class Rounds {
 public:
  /// How many experts were begun to be read ahead.
  int64_t run(const std::vector<int>& guesses, const std::vector<int>& needed,
              GuessFrom from = GuessFrom::output) {
    pool_.resize(0);
    pool_.resize(kSlots);
    const int64_t before = pool_.statistics().prefetched;
    prefetcher_.guess(0, from, guesses);
    for (const ExpertLease& lease : pool_.lease(0, needed)) lease.wait();
    prefetcher_.judge(0, needed);
    return pool_.statistics().prefetched - before;
  }

 private:
  io::RandomFile file_{kExperts * 4096};
  io::AsyncReader reader_{file_.files()};
  SlotPool pool_{reader_, one_layer(), kSlots, PolicyKind::lru};
  Prefetcher prefetcher_{pool_, 1};
};

TEST(Prefetcher, StopsToReadWhatDoesNotComeTrueAndGoesOnWhenItDoes) {
  Rounds rounds;
  EXPECT_EQ(rounds.run({1, 2}, {1, 2}), 2);
  for (int i = 0; i < 200; ++i) rounds.run({1, 2}, {1, 3});  // the second rank is always wrong
  EXPECT_EQ(rounds.run({1, 2}, {1, 2}), 1);
  for (int i = 0; i < 200; ++i) rounds.run({1, 2}, {1, 2});
  EXPECT_EQ(rounds.run({1, 2}, {1, 2}), 2) << "it was watched although it was not read";
}

TEST(Prefetcher, AnEarlierGuessMustBeSurerAndIsJudgedByItself) {
  Rounds rounds;
  EXPECT_EQ(rounds.run({1}, {1}, GuessFrom::earlier_input), 0) << "nothing is known of it yet";
  for (int i = 0; i < 200; ++i) rounds.run({1}, {1}, GuessFrom::earlier_input);
  EXPECT_EQ(rounds.run({1}, {1}, GuessFrom::earlier_input), 1);
  for (int i = 0; i < 200; ++i) rounds.run({1}, {2}, GuessFrom::input);
  EXPECT_EQ(rounds.run({1}, {1}, GuessFrom::input), 0);
  EXPECT_EQ(rounds.run({1}, {1}, GuessFrom::earlier_input), 1);
}

TEST(Prefetcher, WhatKnowsMoreTakesBackWhatWasNotBegun) {
  for (const GuessFrom from : {GuessFrom::part, GuessFrom::output}) {
    const io::RandomFile file(kExperts * 4096);
    io::Gate gate;
    io::ReaderOptions one_at_a_time;
    one_at_a_time.depth = 1;
    one_at_a_time.tamper = [&](size_t, uint64_t offset, int64_t answer) {
      return gate.pass(offset, answer);
    };
    io::AsyncReader reader(file.files(), one_at_a_time);
    SlotPool pool(reader, one_layer(), kSlots, PolicyKind::lru);
    Prefetcher prefetcher(pool, 1);
    pool.prefetch(0, std::vector{1, 5, 9});
    gate.wait_for_arrivals(1);  // the first is being read, the others wait
    prefetcher.guess(0, GuessFrom::input, std::vector{9});
    EXPECT_TRUE(pool.holds(0, 5)) << "a guess that knows less takes nothing back";
    prefetcher.guess(0, from, std::vector{9, 13});
    EXPECT_TRUE(pool.holds(0, 1)) << "it is being read";
    EXPECT_FALSE(pool.holds(0, 5));
    EXPECT_TRUE(pool.holds(0, 9));
    EXPECT_TRUE(pool.holds(0, 13));
    gate.open();
  }
}

}  // namespace
}  // namespace sluice::residency
