#include "sluice/engine/disk_cache/restore_plan.h"

#include <gtest/gtest.h>

namespace sluice::engine {
namespace {

/// A layer that sees everything, and one with a window of 300 tokens: a stretch and a half.
const nn::KvLayout kLayout = [] {
  nn::KvLayout layout;
  for (const int64_t window : {0, 300}) layout.add_kv(1, 8, window);
  return layout;
}();

TEST(RestorePlan, of_states_the_last_one_is_enough) {
  nn::KvLayout layout;
  layout.add_kv(1, 8, 0);
  layout.add_state(100);
  Presence stored(4, std::vector<bool>{true, false});
  EXPECT_FALSE(plan_restore(layout, {}, stored, 0)) << "keys and values alone do not go on";
  stored[2][1] = true;
  const auto plan = plan_restore(layout, {}, stored, 0);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->n_stretches, 3);
  EXPECT_EQ(plan->blocks.size(), 4U);
}

TEST(RestorePlan, reads_what_is_not_held_and_still_seen) {
  const Presence held{{true, true}};
  const Presence stored(5, std::vector<bool>{true, true});
  const auto plan = plan_restore(kLayout, held, stored, 256);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->n_stretches, 5);
  std::vector<std::pair<size_t, size_t>> read;
  for (const auto& block : plan->blocks) read.emplace_back(block.stretch, block.group);
  // From 1280 on, 981 is the first position that the window shows.
  EXPECT_EQ(read, (std::vector<std::pair<size_t, size_t>>{
                      {1, 0}, {2, 0}, {3, 0}, {4, 0}, {3, 1}, {4, 1}}));
  EXPECT_EQ(plan->bytes.count,
            4 * kLayout.groups[0].block_bytes.count + 2 * kLayout.groups[1].block_bytes.count);
}

TEST(RestorePlan, ends_where_a_block_is_missing_that_is_needed) {
  Presence stored(5, std::vector<bool>{true, true});
  stored[4][1] = false;  // the window of the last one
  EXPECT_EQ(plan_restore(kLayout, {}, stored, 0)->n_stretches, 4);
  stored[2][0] = false;  // all of them need it from there on
  EXPECT_EQ(plan_restore(kLayout, {}, stored, 0)->n_stretches, 2);
  EXPECT_FALSE(plan_restore(kLayout, {}, stored, 512)) << "no longer than what is held";
  stored[0][0] = false;
  EXPECT_FALSE(plan_restore(kLayout, {}, stored, 0));
}

TEST(RestorePlan, reads_only_where_that_is_faster) {
  EXPECT_TRUE(is_faster_to_read({0, 1e9}, 256, {1}));
  EXPECT_TRUE(is_faster_to_read({1e-3, 0}, 256, {1'000'000'000'000}));
  EXPECT_TRUE(is_faster_to_read({1e-3, 1e9}, 256, {255'000'000}));
  EXPECT_FALSE(is_faster_to_read({1e-3, 1e9}, 256, {257'000'000}));
}

}  // namespace
}  // namespace sluice::engine
