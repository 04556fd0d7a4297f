#include "sluice/decode/prefix_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace sluice::decode {
namespace {

using Tokens = std::vector<int32_t>;

Tokens tokens(int64_t n, int32_t seed) {
  Tokens all;
  for (int64_t i = 0; i < n; ++i) all.push_back(static_cast<int32_t>((i * 31 + seed * 977) % 5000));
  return all;
}

/// A layer that sees everything, and one with a window of 300 tokens.
class Prefixes : public testing::Test {
 protected:
  static constexpr Bytes kNoCap = residency::KvPool::kNoCap;

  /// Appends as a step would and tells the index.
  void append(PrefixIndex& index, nn::KvCache& kv, const Tokens& timeline, int64_t end,
              int64_t step) {
    while (kv.length() < end) {
      const int64_t before = kv.length();
      kv.append(0, std::min(step, end - before));
      std::vector<Sealed> sealed;
      for (int64_t i = before / 256; i < kv.length() / 256; ++i)
        sealed.push_back({i, kv.stretch(i)});
      index.add("", timeline, sealed);
    }
    index.add_end("", std::span(timeline).first(static_cast<size_t>(end)), kv);
  }
  int64_t found(PrefixIndex& index, const Tokens& of) { return index.find("", of).length(); }

  residency::KvPool pool;
  static std::shared_ptr<const nn::KvLayout> make_layout() {
    nn::KvLayout layout;
    layout.add_kv(1, 8, 0);
    layout.add_kv(1, 8, 300);
    return std::make_shared<const nn::KvLayout>(std::move(layout));
  }
  std::shared_ptr<const nn::KvLayout> layout = make_layout();
};

TEST_F(Prefixes, the_longest_common_beginning_is_found_to_the_token) {
  PrefixIndex index(layout, pool, kNoCap);
  const Tokens timeline = tokens(1000, 1);
  {
    nn::KvCache kv(layout, pool);
    append(index, kv, timeline, 1000, 100);
  }
  EXPECT_EQ(found(index, timeline), 1000);
  for (const int64_t n : {999, 800, 769}) {
    EXPECT_EQ(found(index, tokens(n, 1)), n);
    Tokens other = tokens(n, 1);
    other.resize(1500, 7);
    EXPECT_EQ(found(index, other), n) << "others follow";
  }
  EXPECT_EQ(found(index, tokens(1000, 2)), 0);
  EXPECT_EQ(index.find("another", timeline).length(), 0);
  EXPECT_EQ(index.length_of("", timeline), 1000);
}

TEST_F(Prefixes, what_is_found_can_be_gone_on_with_and_changes_nobody) {
  PrefixIndex index(layout, pool, kNoCap);
  const Tokens timeline = tokens(700, 1);
  nn::KvCache kv(layout, pool);
  append(index, kv, timeline, 700, 700);
  const auto last = kv.stretch(2);
  nn::KvCache a = index.find("", timeline), b = index.find("", timeline);
  for (nn::KvCache* of : {&a, &b}) {
    const auto views = of->append(0, 5);
    for (const auto& view : views) {
      EXPECT_EQ(view.position, 700);
      EXPECT_NE(view.blocks[2], last[0]) << "its own copy";
      EXPECT_NE(view.copy_from, nullptr);
    }
  }
  EXPECT_NE(a.stretch(2), b.stretch(2));
  EXPECT_EQ(kv.stretch(2), last);
  EXPECT_EQ(kv.append(0, 5)[0].copy_from, nullptr) << "the first owner goes on in its own";
}

TEST_F(Prefixes, of_few_bits_the_floats_that_ends_and_every_eighth_stretch_need_are_kept) {
  nn::KvLayout coded({.code = {8, 8}, .recent = 128});
  coded.add_kv(1, 8, 0);
  layout = std::make_shared<const nn::KvLayout>(std::move(coded));
  PrefixIndex index(layout, pool, kNoCap);
  const Tokens timeline = tokens(8000, 1);
  {
    nn::KvCache kv(layout, pool);
    append(index, kv, timeline, 1500, 256);  // a prompt's end
    append(index, kv, timeline, 8000, 256);
  }
  for (const int64_t n : {8000, 7936, 1500, 1400}) EXPECT_EQ(found(index, tokens(n, 1)), n) << n;
  EXPECT_EQ(found(index, tokens(6000, 1)), 4096) << "where floats were kept";
  const size_t codes = layout->group_of_codes().value();
  EXPECT_LT(index.held().count, 31 * layout->groups[codes].block_bytes.count +
                                    10 * layout->groups[1 - codes].block_bytes.count);
  index.evict(Bytes{layout->groups[1 - codes].block_bytes.count * 3});
  EXPECT_GE(found(index, timeline), 1280) << "never the first, with which all would go";
}

TEST_F(Prefixes, of_a_window_what_ends_and_forks_need_is_kept) {
  PrefixIndex index(layout, pool, kNoCap);
  const Tokens timeline = tokens(4096, 1);
  {
    nn::KvCache kv(layout, pool);
    append(index, kv, timeline, 1500, 256);  // a prompt's end
    append(index, kv, timeline, 4096, 256);
  }
  EXPECT_EQ(found(index, timeline), 4096);
  EXPECT_EQ(found(index, tokens(1500, 1)), 1500);
  EXPECT_LT(found(index, tokens(3000, 1)), 3000) << "its window is gone";
  const uint64_t whole = 16 * layout->groups[0].block_bytes.count;
  EXPECT_LT(index.held().count, whole + 12 * layout->groups[1].block_bytes.count);
}

TEST_F(Prefixes, the_least_recently_used_goes_first_and_only_what_nobody_uses) {
  PrefixIndex index(layout, pool, kNoCap);
  nn::KvCache used(layout, pool);
  append(index, used, tokens(600, 1), 600, 600);
  for (const int32_t seed : {2, 3, 4}) {
    nn::KvCache kv(layout, pool);
    append(index, kv, tokens(600, seed), 600, 600);
  }
  EXPECT_EQ(found(index, tokens(600, 2)), 600);  // now 3 is the oldest
  const Bytes unused = index.unused();
  const Bytes before = pool.in_use();
  const Bytes stretch = layout->groups[0].block_bytes + layout->groups[1].block_bytes;
  EXPECT_TRUE(index.evict({3 * stretch.count}));
  EXPECT_LT(found(index, tokens(600, 3)), 600);
  EXPECT_EQ(found(index, tokens(600, 2)), 600);
  EXPECT_LT(pool.in_use(), before);
  EXPECT_FALSE(index.evict(unused)) << "some was given up already";
  EXPECT_EQ(index.unused().count, 0U);
  EXPECT_EQ(found(index, tokens(600, 2)), 0);
  EXPECT_EQ(used.length(), 600);
  EXPECT_NE(used.stretch(0)[0], nullptr);
}

TEST_F(Prefixes, a_cap_and_a_dropped_partition_give_everything_back) {
  const Bytes stretch = layout->groups[0].block_bytes + layout->groups[1].block_bytes;
  const Bytes cap{5 * stretch.count};
  PrefixIndex index(layout, pool, cap);
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    const auto n = static_cast<int64_t>(1 + random() % 1200);
    const Tokens timeline = tokens(n, static_cast<int32_t>(random() % 6));
    nn::KvCache kv = index.find("", std::span(timeline).first(static_cast<size_t>(n - 1)));
    ASSERT_LT(kv.length(), n);
    append(index, kv, timeline, n, 1 + static_cast<int64_t>(random() % 600));
    ASSERT_LE(index.held(), cap);
    if (random() % 8 == 0) index.evict({random() % cap.count});
  }
  index.drop("");
  EXPECT_EQ(index.held().count, 0U);
  EXPECT_EQ(index.n_stretches(), 0);
  EXPECT_EQ(pool.in_use().count, 0U);
}

}  // namespace
}  // namespace sluice::decode
