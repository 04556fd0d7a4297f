#include "sluice/residency/prefetcher.h"

#include <gtest/gtest.h>

#include "sluice/io/reader_test_files.h"

namespace sluice::residency {
namespace {

constexpr int kExperts = 16, kSlots = 8;

/// One layer of experts of a page each. Guesses, then asks for what is needed, from an empty pool each time.
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
  static ExpertFiles files() {
    ExpertFiles files{.n_layers = 1, .n_experts = kExperts, .extents = {}};
    for (uint64_t e = 0; e < kExperts; ++e) files.extents.push_back({{0, e * 4096, 4096}});
    return files;
  }

  io::RandomFile file_{kExperts * 4096};
  io::AsyncReader reader_{file_.files()};
  SlotPool pool_{reader_, files(), kSlots, PolicyKind::lru};
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

}  // namespace
}  // namespace sluice::residency
