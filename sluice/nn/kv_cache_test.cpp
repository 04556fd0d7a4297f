#include "sluice/nn/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "sluice/base/error.h"

namespace sluice::nn {
namespace {

/// Two layers that see everything and one with a window of 300 tokens.
std::shared_ptr<const KvLayout> layout() {
  KvLayout layout;
  for (const int64_t window : {0, 300, 0}) layout.add_kv(2, 8, window);
  return std::make_shared<const KvLayout>(std::move(layout));
}

TEST(KvLayout, layers_with_the_same_window_share_blocks) {
  const auto l = layout();
  ASSERT_EQ(l->groups.size(), 2U);
  EXPECT_EQ(l->group_of_layer, (std::vector<size_t>{0, 1, 0}));
  const int64_t layer_bytes = 2 * 2 * 256 * 8 * 2;
  EXPECT_EQ(l->groups[0].block_bytes.count, static_cast<uint64_t>(2 * layer_bytes));
  EXPECT_EQ(l->layers[2].offset, layer_bytes);
}

TEST(KvCache, blocks_are_allocated_as_tokens_come) {
  residency::KvPool pool;
  KvCache cache(layout(), pool);
  EXPECT_EQ(cache.append(0, 256)[0].blocks.size(), 1U);
  const auto views = cache.append(0, 1);
  EXPECT_EQ(views[0].blocks.size(), 2U);
  EXPECT_EQ(views[0].position, 256);
  EXPECT_EQ(cache.length(), 257);
}

TEST(KvCache, a_sliding_window_drops_what_no_token_sees_any_more) {
  residency::KvPool pool;
  KvCache cache(layout(), pool);
  cache.append(0, 900);
  const auto views = cache.append(0, 1);
  // Position 900 sees 601 to 900: block 2 holds 512 to 767.
  EXPECT_EQ(views[1].blocks[1], nullptr);
  EXPECT_NE(views[1].blocks[2], nullptr);
  EXPECT_NE(views[0].blocks[0], nullptr);
  EXPECT_FALSE(cache.can_trim(700));  // position 700 would see 401, in the dropped block 1
  EXPECT_TRUE(cache.can_trim(890));
  EXPECT_THROW(cache.trim(700), Error);
}

TEST(KvCache, pruned_it_is_as_long_and_has_blocks_of_its_own) {
  residency::KvPool pool;
  KvCache cache(layout(), pool);
  cache.append(0, 1436);
  const auto needs = cache.needs(64, 0, 1024);
  EXPECT_EQ(needs[0].count, 4) << "the last block has room for these tokens";
  EXPECT_EQ(needs[1].count, 2) << "of the window the last 299";
  residency::KvReservation blocks = reserve_or_throw(pool, needs);
  KvCache before = cache;
  const auto views = cache.append(0, 64, blocks, 1500, 1024);
  EXPECT_EQ(views[0].kept.size(), 4U);
  EXPECT_EQ(views[1].kept[1], nullptr);
  EXPECT_NE(views[1].kept[2], nullptr);
  EXPECT_TRUE(cache.will_prune());
  EXPECT_EQ(cache.stretch(1)[0], before.stretch(1)[0]) << "until then it is whole";
  cache.prune();
  EXPECT_TRUE(cache.is_pruned());
  EXPECT_FALSE(cache.will_prune());
  EXPECT_EQ(cache.length(), 1500);
  EXPECT_FALSE(cache.can_trim(1499)) << "of the prompt nothing can be taken back";
  const auto next = cache.append(0, 3);
  EXPECT_EQ(next[0].position, 1024);
  EXPECT_EQ(next[0].blocks.size(), 5U);
  EXPECT_EQ(next[0].blocks[0], views[0].kept[0]);
  EXPECT_TRUE(next[0].kept.empty());
  EXPECT_EQ(cache.length(), 1503);
  EXPECT_TRUE(cache.can_trim(1500));
  cache = before;
  EXPECT_EQ(cache.append(0, 1)[0].position, 1436);
}

TEST(KvCache, a_snapshot_is_not_changed_by_what_comes_after_it) {
  residency::KvPool pool;
  KvCache cache(layout(), pool);
  const auto before = cache.append(0, 100);
  KvCache saved = cache.snapshot();
  const auto after = cache.append(0, 10);
  EXPECT_NE(after[0].blocks[0], before[0].blocks[0]) << "a shared block was written";
  EXPECT_EQ(after[0].copy_from, before[0].blocks[0]);
  const auto branch = saved.append(0, 10);
  EXPECT_EQ(branch[0].position, 100);
  EXPECT_EQ(branch[0].copy_from, before[0].blocks[0]);
  EXPECT_NE(branch[0].blocks[0], after[0].blocks[0]);
}

TEST(KvCache, full_blocks_stay_shared_between_branches) {
  residency::KvPool pool;
  KvCache cache(layout(), pool);
  const auto first = cache.append(0, 300);
  KvCache saved = cache.snapshot();
  EXPECT_EQ(cache.append(0, 1)[0].blocks[0], first[0].blocks[0]);
  EXPECT_EQ(saved.append(0, 1)[0].blocks[0], first[0].blocks[0]);
}

TEST(KvCache, writing_again_after_a_trim_leaves_the_snapshot_alone) {
  residency::KvPool pool;
  KvCache cache(layout(), pool);
  const auto first = cache.append(0, 200);
  KvCache saved = cache.snapshot();
  cache.trim(50);
  const auto again = cache.append(0, 20);
  EXPECT_EQ(again[0].position, 50);
  EXPECT_NE(again[0].blocks[0], first[0].blocks[0]);
  EXPECT_EQ(again[0].copy_from, first[0].blocks[0]);
  EXPECT_EQ(saved.length(), 200);
}

TEST(KvCache, without_a_snapshot_nothing_is_copied) {
  residency::KvPool pool;
  KvCache cache(layout(), pool);
  const auto first = cache.append(0, 10);
  cache.trim(5);
  const auto second = cache.append(0, 10);
  EXPECT_EQ(second[0].blocks[0], first[0].blocks[0]);
  EXPECT_EQ(second[0].copy_from, nullptr);
}

TEST(KvCache, a_full_block_is_never_written_again_also_by_its_own_writer) {
  residency::KvPool pool;
  KvCache cache(layout(), pool);
  const auto first = cache.append(0, 256);
  EXPECT_EQ(first[0].blocks[0]->writer(), residency::KvBlock::kSealed);
  cache.trim(200);
  const auto second = cache.append(0, 10);
  EXPECT_NE(second[0].blocks[0], first[0].blocks[0]);
  EXPECT_EQ(second[0].copy_from, first[0].blocks[0]);
  EXPECT_EQ(cache.append(0, 10)[0].blocks[0], second[0].blocks[0]) << "an open one is";
  cache.trim(0);
  EXPECT_EQ(cache.append(0, 1)[0].copy_from, nullptr) << "nothing of it is needed";
}

/// Block sizes of layout()'s two groups.
constexpr uint64_t kAll = 2 * 2 * 2 * 256 * 8 * 2, kWindow = kAll / 2;

TEST(KvCache, an_append_that_does_not_fit_changes_nothing) {
  residency::KvPool pool(Bytes{2 * (kAll + kWindow)});
  KvCache cache(layout(), pool), other(layout(), pool);
  cache.append(0, 300);
  try {
    other.append(0, 1);
    FAIL() << "the cap was passed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::over_budget);
  }
  EXPECT_EQ(other.length(), 0);
  EXPECT_THROW(cache.append(0, 300), Error);
  EXPECT_EQ(cache.length(), 300);
  cache.append(0, 212);
  EXPECT_LE(pool.allocated(), pool.cap());
  cache = KvCache(layout(), pool);
  EXPECT_EQ(other.append(0, 512)[0].blocks.size(), 2U) << "there is room again";
}

TEST(KvCache, has_at_no_time_more_blocks_than_are_counted) {
  for (const int64_t step : {1, 100, 256, 700}) {
    constexpr int64_t kContext = 2048;
    residency::KvPool pool;
    Bytes most;
    const auto blocks_of = layout();
    for (const auto& group : blocks_of->groups) {
      const int64_t blocks = most_blocks(group, kContext, step) + snapshot_blocks(group, kContext);
      most.count += group.block_bytes.count * static_cast<uint64_t>(blocks);
    }
    pool.set_cap(most);
    KvCache cache(layout(), pool), checkpoint = cache.snapshot();
    std::vector<ops::SequenceKv> views;  // of the step that is not over yet
    for (int64_t turn = 0; cache.length() < kContext; ++turn) {
      for (int64_t left = 230 + 13 * turn; left > 0 && cache.length() < kContext;) {
        const int64_t n = std::min({left, step, kContext - cache.length()});
        views = cache.append(0, n);
        left -= n;
        if (turn % 3 == 2) views.clear();
      }
      checkpoint = cache.snapshot();
      for (int token = 0; token < 30 && cache.length() < kContext; ++token) {
        views = cache.append(0, 1);
      }
      views.clear();
      if (turn % 2 == 0) cache.trim(cache.length() - 1);
      if (turn % 5 == 4) cache = checkpoint.snapshot();
    }
    EXPECT_LE(pool.allocated(), most);
  }
}

TEST(KvPool, reserves_all_or_nothing_and_gives_back_what_nobody_took) {
  residency::KvPool pool(Bytes{5 * 4096});
  const std::vector<residency::KvNeed> fits{{Bytes{4096}, 3}, {Bytes{8192}, 1}};
  const std::vector<residency::KvNeed> one_more{{Bytes{4096}, 4}, {Bytes{8192}, 1}};
  EXPECT_FALSE(pool.reserve(one_more));
  EXPECT_EQ(pool.in_use().count, 0U);
  {
    auto reserved = pool.reserve(fits);
    ASSERT_TRUE(reserved);
    EXPECT_FALSE(pool.reserve(std::vector<residency::KvNeed>{{Bytes{4096}, 1}}));
    const auto block = reserved->take(Bytes{4096}, 7);
    EXPECT_EQ(block->writer(), 7U);
    EXPECT_EQ(pool.in_use().count, 5U * 4096);
    EXPECT_THROW(reserved->take(Bytes{12288}, 7), Error) << "none of that size was reserved";
  }
  EXPECT_EQ(pool.in_use().count, 0U);
  EXPECT_TRUE(pool.reserve(std::vector<residency::KvNeed>{{Bytes{4096}, 5}}))
      << "kept blocks of another size make room";
  EXPECT_LE(pool.allocated().count, 5U * 4096);
}

TEST(KvPool, returned_blocks_are_used_again) {
  residency::KvPool pool;
  const std::vector<residency::KvNeed> three{{Bytes{4096}, 3}};
  pool.preallocate(three);
  EXPECT_EQ(pool.allocated().count, 3U * 4096);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(pool.reserve(three));
  EXPECT_EQ(pool.allocated().count, 3U * 4096);
}

/// A layer that keeps few bits, and one with a window.
std::shared_ptr<const KvLayout> coded_layout() {
  KvLayout layout({.code = {8, 4}, .recent = 128});
  for (const int64_t window : {0, 1000}) layout.add_kv(2, 8, window);
  return std::make_shared<const KvLayout>(std::move(layout));
}

TEST(KvLayout, few_bits_have_blocks_of_their_own_size) {
  const auto l = coded_layout();
  ASSERT_EQ(l->groups.size(), 3U) << "codes, what is not coded yet, the window";
  const size_t codes = l->group_of_codes().value();
  EXPECT_EQ(l->groups[codes].block_bytes.count,
            static_cast<uint64_t>(2 * kernels::KvCode{8, 4}.bytes(8)));
  EXPECT_TRUE(l->groups[l->group_of_layer[0]].keeps_first);
  EXPECT_FALSE(l->groups[l->group_of_layer[1]].keeps_first);
  EXPECT_FALSE(layout()->group_of_codes());
  KvLayout windowed({.code = {8, 8}, .recent = 128});
  windowed.add_kv(2, 8, 0);
  EXPECT_NE(windowed.group_of_layer[0], windowed.group_of_layer[windowed.add_kv(2, 8, 129)])
      << "such a window passes the first block";
  EXPECT_THROW(KvLayout({.code = {8, 8}}).add_latent(576), Error);
}

TEST(KvCache, of_few_bits_keeps_codes_of_all_and_floats_of_the_first_and_last) {
  const auto l = coded_layout();
  const size_t codes = *l->group_of_codes(), floats = l->group_of_layer[0];
  residency::KvPool pool;
  for (const int64_t step : {1, 100, 256, 2000}) {
    KvCache cache(l, pool);
    for (int64_t n = 0; n < 2000; n += step) {
      const auto needs = cache.needs(std::min(step, 2000 - n));
      const Bytes before = pool.in_use();
      const auto views = cache.append(0, std::min(step, 2000 - n));
      EXPECT_LE(pool.in_use().count - std::min(before.count, pool.in_use().count),
                needs[codes].block.count * static_cast<uint64_t>(needs[codes].count) +
                    needs[floats].block.count * static_cast<uint64_t>(needs[floats].count) +
                    needs[2].block.count * static_cast<uint64_t>(needs[2].count));
      for (int64_t i = 0; i * 256 < cache.length(); ++i) {
        const auto at = static_cast<size_t>(i);
        const bool is_whole = (i + 1) * 256 <= cache.length();
        EXPECT_EQ(views[floats].coded[at] != nullptr, i > 0 && is_whole) << i;
        // What a token of this step reads in full is there.
        EXPECT_TRUE(n >= l->layers[0].coded_from(i) || views[floats].blocks[at] != nullptr) << i;
      }
    }
    EXPECT_TRUE(cache.can_trim(7 * 256)) << "the last whole stretch";
    EXPECT_EQ(cache.can_trim(4 * 256), step == 2000);
  }
}

TEST(KvCache, a_stretch_that_is_completed_again_is_coded_again) {
  const auto l = coded_layout();
  const size_t floats = l->group_of_layer[0];
  residency::KvPool pool;
  KvCache cache(l, pool);
  cache.append(0, 500);
  const auto guessed = cache.append(0, 20);  // over the end of the second stretch
  cache.trim(505);
  const auto partly = cache.append(0, 3);
  EXPECT_EQ(partly[floats].coded[1], nullptr);
  const auto whole = cache.append(0, 30);
  EXPECT_NE(whole[floats].coded[1], nullptr);
  EXPECT_NE(whole[floats].coded[1], guessed[floats].coded[1]);
}

}  // namespace
}  // namespace sluice::nn
