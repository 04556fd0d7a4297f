#include "sluice/residency/experts/policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "sluice/base/error.h"

namespace sluice::residency {
namespace {

constexpr PolicyKind kAll[] = {PolicyKind::lru, PolicyKind::lfu, PolicyKind::lcp,
                               PolicyKind::least_stale, PolicyKind::s3_fifo};

class PolicyTest : public ::testing::TestWithParam<PolicyKind> {};

TEST_P(PolicyTest, a_pinned_slot_is_never_evicted_and_every_other_one_can_be) {
  constexpr int kSlots = 30;
  const auto policy = make_policy(GetParam(), {4, 16, kSlots});
  std::mt19937 random(1);
  std::vector<int> pins(kSlots, 0);
  std::set<int> free;
  for (int slot = 0; slot < kSlots; ++slot) free.insert(slot);
  for (int i = 0; i < 5'000; ++i) {
    policy->enter_layer(i % 4);
    if (!free.empty()) {
      const int slot = *free.begin();
      free.erase(slot);
      policy->on_insert(slot, {i % 4, static_cast<int>(random() % 16)});
    }
    const int touched = static_cast<int>(random() % kSlots);
    if (!free.contains(touched)) policy->on_hit(touched);
    for (int& pin : pins) pin = random() % 3 == 0 ? 1 : 0;
    if (random() % 2 == 0) continue;
    const int victim = policy->evict(pins);
    bool possible = false;
    for (int slot = 0; slot < kSlots; ++slot) {
      possible = possible || (pins[static_cast<size_t>(slot)] == 0 && !free.contains(slot));
    }
    ASSERT_EQ(victim >= 0, possible);
    if (victim < 0) continue;
    ASSERT_EQ(pins[static_cast<size_t>(victim)], 0);
    ASSERT_FALSE(free.contains(victim));
    free.insert(victim);
  }
}

TEST_P(PolicyTest, an_empty_or_wholly_pinned_pool_has_no_victim) {
  const auto policy = make_policy(GetParam(), {2, 4, 2});
  const std::vector<int> none(2, 0);
  const std::vector<int> all(2, 1);
  EXPECT_EQ(policy->evict(none), -1);
  policy->enter_layer(0);
  policy->on_insert(0, {0, 0});
  policy->on_insert(1, {0, 1});
  EXPECT_EQ(policy->evict(all), -1);
  std::set<int> evicted = {policy->evict(none), policy->evict(none)};
  EXPECT_EQ(evicted, (std::set<int>{0, 1}));
  EXPECT_EQ(policy->evict(none), -1);
}

INSTANTIATE_TEST_SUITE_P(Policies, PolicyTest, ::testing::ValuesIn(kAll), [](const auto& policy) {
  std::string name(to_string(policy.param));
  std::ranges::replace(name, '-', '_');
  return name;
});

/// A pool of experts 0 to n - 1 of layer 0, each used once, in this order.
void fill(EvictionPolicy& policy, int n) {
  policy.enter_layer(0);
  for (int slot = 0; slot < n; ++slot) policy.on_insert(slot, {0, slot});
}

TEST(Policy, lru_evicts_what_was_not_used_for_longest) {
  const auto policy = make_policy(PolicyKind::lru, {1, 8, 3});
  fill(*policy, 3);
  policy->on_hit(0);
  const std::vector<int> pins(3, 0);
  EXPECT_EQ(policy->evict(pins), 1);
  EXPECT_EQ(policy->evict(pins), 2);
  EXPECT_EQ(policy->evict(pins), 0);
}

TEST(Policy, lfu_keeps_what_is_used_often_until_that_is_long_ago) {
  const auto policy = make_policy(PolicyKind::lfu, {1, 8, 3});
  fill(*policy, 2);
  for (int i = 0; i < 5; ++i) {
    policy->enter_layer(0);
    policy->on_hit(0);
  }
  policy->enter_layer(0);
  policy->on_hit(1);
  const std::vector<int> pins(3, 0);
  EXPECT_EQ(policy->evict(pins), 1);
  policy->on_insert(1, {0, 1});
  for (int i = 0; i < 200; ++i) policy->enter_layer(0);
  policy->on_hit(1);
  EXPECT_EQ(policy->evict(pins), 0);
}

TEST(Policy, lfu_remembers_experts_that_were_evicted) {
  const auto policy = make_policy(PolicyKind::lfu, {1, 8, 2});
  const std::vector<int> pins(2, 0);
  policy->enter_layer(0);
  policy->on_insert(0, {0, 7});
  for (int i = 0; i < 5; ++i) {
    policy->enter_layer(0);
    policy->on_hit(0);
  }
  EXPECT_EQ(policy->evict(pins), 0);
  policy->on_insert(0, {0, 7});  // once in this slot, often before
  policy->on_insert(1, {0, 1});
  EXPECT_EQ(policy->evict(pins), 1);
}

TEST(Policy, lfu_counts_a_prefetch_and_its_use_as_one) {
  const auto policy = make_policy(PolicyKind::lfu, {1, 8, 2});
  fill(*policy, 2);
  policy->on_hit(0);
  policy->enter_layer(0);
  policy->on_hit(1);
  const std::vector<int> pins(2, 0);
  EXPECT_EQ(policy->evict(pins), 0);
}

TEST(Policy, least_stale_evicts_the_layer_that_runs_last_among_equals) {
  const auto policy = make_policy(PolicyKind::least_stale, {3, 8, 3});
  for (int layer = 0; layer < 3; ++layer) {
    policy->enter_layer(layer);
    policy->on_insert(layer, {layer, 0});
  }
  policy->enter_layer(0);  // next come layers 1 and 2, then 0 again
  policy->on_hit(0);
  const std::vector<int> pins(3, 0);
  EXPECT_EQ(policy->evict(pins), 2);
  EXPECT_EQ(policy->evict(pins), 1);
  EXPECT_EQ(policy->evict(pins), 0);
}

TEST(Policy, s3_fifo_lets_a_scan_pass_by) {
  const auto policy = make_policy(PolicyKind::s3_fifo, {1, 100, 10});
  fill(*policy, 10);
  for (int slot = 0; slot < 8; ++slot) {
    policy->on_hit(slot);
    policy->on_hit(slot);
  }
  const std::vector<int> pins(10, 0);
  for (int expert = 20; expert < 60; ++expert) {
    const int slot = policy->evict(pins);
    EXPECT_GE(slot, 8);
    policy->on_insert(slot, {0, expert});
  }
}

TEST(Policy, names_are_read_as_they_are_written) {
  for (const PolicyKind kind : kAll) EXPECT_EQ(parse_policy(to_string(kind)), kind);
  try {
    (void)parse_policy("clock");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_request);
  }
}

}  // namespace
}  // namespace sluice::residency
