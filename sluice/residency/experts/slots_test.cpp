#include "sluice/residency/experts/slots.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <random>
#include <thread>

#include "sluice/base/error.h"
#include "sluice/io/page_size.h"
#include "sluice/io/reads/reader_test_files.h"

namespace sluice::residency {
namespace {

constexpr int kLayers = 3;
constexpr int kExperts = 8;
constexpr uint64_t kLarge = 50'001;
constexpr uint64_t kSmall = 777;

/// A file of the three-part experts of three layers: stacks of each part, as checkpoints have them.
class Model {
 public:
  explicit Model(io::ReaderOptions options = {}) : reader(file.files(), options) {
    experts.n_layers = kLayers;
    experts.n_experts = kExperts;
    uint64_t offset = 123;
    for (int layer = 0; layer < kLayers; ++layer) {
      const uint64_t second = offset + kExperts * kLarge;
      const uint64_t third = second + kExperts * kSmall;
      for (uint64_t e = 0; e < kExperts; ++e) {
        experts.extents.push_back({{0, offset + e * kLarge, kLarge},
                                   {0, second + e * kSmall, kSmall},
                                   {0, third + e * kSmall, kSmall}});
      }
      offset = third + kExperts * kSmall;
    }
  }

  bool holds(const ExpertLease& lease, ExpertKey key) const {
    const ExpertExtents& extents = experts.of(key);
    for (size_t i = 0; i < extents.size(); ++i) {
      if (std::memcmp(lease.address(0, extents[i].offset),
                      file.contents().data() + extents[i].offset, extents[i].bytes) != 0) {
        return false;
      }
    }
    return true;
  }

  io::RandomFile file{2'000'000};
  io::AsyncReader reader;
  ExpertFiles experts;
};

/// Leases, waits, compares.
void use(SlotPool& pool, const Model& model, int layer, const std::vector<int>& experts) {
  pool.begin_demand(layer, Use::keep);
  const auto leases = pool.lease(layer, experts);
  for (size_t i = 0; i < experts.size(); ++i) {
    leases[i].wait();
    EXPECT_TRUE(leases[i].ready());
    EXPECT_TRUE(model.holds(leases[i], {layer, experts[i]}));
  }
}

TEST(SlotPool, a_leased_expert_has_the_files_bytes_and_is_read_once) {
  Model model;
  SlotPool pool(model.reader, model.experts, 6, PolicyKind::lfu);
  use(pool, model, 1, {2, 5});
  use(pool, model, 1, {5, 2, 5});
  EXPECT_EQ(pool.statistics().misses, 2);
  EXPECT_EQ(pool.statistics().hits, 3);
}

TEST(SlotPool, every_token_is_right_under_the_smallest_pool_and_every_policy) {
  for (const auto policy : {PolicyKind::lru, PolicyKind::lfu, PolicyKind::lcp,
                            PolicyKind::least_stale, PolicyKind::s3_fifo}) {
    Model model;
    SlotPool pool(model.reader, model.experts, 2, policy);
    std::mt19937 random(1);
    for (int i = 0; i < 90; ++i) {
      const int first = static_cast<int>(random() % kExperts);
      use(pool, model, i % kLayers, {first, (first + 3) % kExperts});
    }
    EXPECT_GT(pool.statistics().misses, 90);
  }
}

TEST(SlotPool, a_leased_slot_is_never_overwritten_and_too_many_leases_are_an_error) {
  Model model;
  SlotPool pool(model.reader, model.experts, 4, PolicyKind::lru);
  const auto held = pool.lease(0, std::vector{0, 1, 2});
  for (const auto& lease : held) lease.wait();
  for (int i = 0; i < 10; ++i) use(pool, model, i % kLayers, {3 + i % 5});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(model.holds(held[static_cast<size_t>(i)], {0, i}));
  const Error error = io::error_of([&] { (void)pool.lease(1, std::vector{0, 1}); });
  EXPECT_EQ(error.kind(), ErrorKind::over_budget);
  use(pool, model, 1, {7});
  EXPECT_EQ(io::error_of([&] {
              (void)pool.lease(2, std::vector{0, 1, 2, 3, 4});
            }).kind(),
            ErrorKind::over_budget);
}

TEST(SlotPool, a_pool_of_no_slots_is_refused) {
  Model model;
  EXPECT_EQ(io::error_of([&] { SlotPool(model.reader, model.experts, 0, PolicyKind::lru); }).kind(),
            ErrorKind::over_budget);
}

TEST(SlotPool, the_same_missing_expert_twice_takes_one_slot) {
  Model model;
  SlotPool pool(model.reader, model.experts, 4, PolicyKind::lru);
  use(pool, model, 0, {3, 3});
  use(pool, model, 1, {0, 1, 2});
  EXPECT_EQ(pool.statistics().misses, 4);
  use(pool, model, 0, {3});
  EXPECT_EQ(pool.statistics().misses, 4);
}

TEST(SlotPool, a_prefetched_expert_is_a_hit_or_late_and_an_unused_one_is_waste) {
  Model model;
  SlotPool pool(model.reader, model.experts, 3, PolicyKind::lru);
  pool.prefetch(1, std::vector{4, 5});
  use(pool, model, 1, {4});
  EXPECT_EQ(pool.statistics().hits + pool.statistics().late, 1);
  EXPECT_EQ(pool.statistics().misses, 0);
  EXPECT_EQ(pool.statistics().prefetched, 2);
  use(pool, model, 2, {0, 1, 2});
  EXPECT_EQ(pool.statistics().wasted, 1);
}

TEST(SlotPool, prefetches_give_way_to_demand) {
  Model model({.depth = 1});
  SlotPool pool(model.reader, model.experts, 4, PolicyKind::lfu);
  for (int i = 0; i < 30; ++i) {
    pool.prefetch((i + 1) % kLayers, std::vector{0, 1, 2, 3, 4, 5, 6, 7});
    use(pool, model, i % kLayers, {i % 8, (i + 1) % 8, (i + 2) % 8, (i + 3) % 8});
  }
}

TEST(SlotPool, a_failed_read_fails_its_lease_and_is_tried_again) {
  std::atomic<bool> broken{true};
  Model model({.tamper = [&](size_t, uint64_t, int64_t answer) -> int64_t {
    return broken ? -EIO : answer;
  }});
  SlotPool pool(model.reader, model.experts, 3, PolicyKind::lfu);
  {
    const auto leases = pool.lease(0, std::vector{1});
    EXPECT_EQ(io::error_of([&] { leases[0].wait(); }).kind(), ErrorKind::io);
  }
  broken = false;
  use(pool, model, 0, {1});
  EXPECT_EQ(pool.statistics().misses, 2);
}

TEST(SlotPool, shrinks_and_grows_while_it_is_used) {
  Model model;
  SlotPool pool(model.reader, model.experts, 10, PolicyKind::lfu);
  for (int layer = 0; layer < kLayers; ++layer) use(pool, model, layer, {0, 1, 2});
  {
    const auto held = pool.lease(0, std::vector{0, 1, 2});
    for (const auto& lease : held) lease.wait();
    EXPECT_EQ(pool.resize(2), 3);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(model.holds(held[static_cast<size_t>(i)], {0, i}));
  }
  EXPECT_EQ(pool.resize(2), 2);
  for (int layer = 0; layer < kLayers; ++layer) use(pool, model, layer, {4, 5});
  EXPECT_EQ(pool.resize(100), 10);
  const int64_t before = pool.statistics().misses;
  for (int turn = 0; turn < 2; ++turn) {
    for (int layer = 0; layer < kLayers; ++layer) use(pool, model, layer, {1, 6, 7});
  }
  EXPECT_EQ(pool.statistics().misses, before + 9);
}

TEST(SlotPool, slots_are_whole_pages_of_this_machine) {
  EXPECT_EQ(slot_bytes(Bytes{1}).count, io::page_size());
  EXPECT_EQ(slot_bytes(Bytes{io::page_size()}).count, io::page_size());
  EXPECT_EQ(slot_bytes(Bytes{io::page_size() + 1}).count, 2 * io::page_size());
  Model model;
  EXPECT_EQ(slot_bytes(model.experts).count % io::page_size(), 0u);
}

TEST(SlotPool, a_prompt_leaves_half_of_the_slots_that_a_shrunk_pool_has) {
  Model model;
  SlotPool pool(model.reader, model.experts, 20, PolicyKind::lfu);
  EXPECT_EQ(pool.resize(8), 8);
  const std::vector<int> hot{0, 1, 2, 3};
  for (int token = 0; token < 20; ++token) use(pool, model, 0, hot);
  for (int chunk = 0; chunk < 3; ++chunk) {
    pool.begin_demand(1, Use::pass_again);
    for (int expert = 0; expert < kExperts; ++expert) {
      pool.lease(1, std::vector{expert}, Use::pass_again).front().wait();
    }
  }
  for (const int expert : hot) EXPECT_TRUE(pool.holds(0, expert)) << expert;
}

TEST(SlotPool, a_lease_that_did_not_fit_leaves_nothing_behind) {
  Model model;
  SlotPool pool(model.reader, model.experts, 4, PolicyKind::lru);
  for (int round = 0; round < 5; ++round) {
    const auto held = pool.lease(0, std::vector{0, 1}, Use::pass);
    EXPECT_EQ(io::error_of([&] {
                (void)pool.lease(1, std::vector{0, 1, 2}, Use::pass);
              }).kind(),
              ErrorKind::over_budget);
    const auto fits = pool.lease(1, std::vector{4, 5}, Use::pass);
    for (const auto& lease : fits) lease.wait();
    EXPECT_TRUE(model.holds(fits[0], {1, 4}) && model.holds(fits[1], {1, 5}));
  }
}

TEST(SlotPool, threads_may_lease_prefetch_take_back_and_resize_at_once) {
  Model model;
  SlotPool pool(model.reader, model.experts, 16, PolicyKind::lfu);
  std::vector<std::thread> threads;
  std::atomic<bool> done{false};
  for (unsigned t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 100; ++i) {
        const int expert = static_cast<int>(random() % kExperts);
        if (i % 3 == 0) pool.prefetch((i + 1) % kLayers, std::vector{expert});
        if (i % 5 == 0) pool.cancel_prefetches((i + 1) % kLayers, std::vector{expert});
        use(pool, model, i % kLayers, {expert, (expert + 1) % kExperts});
      }
    });
  }
  std::thread pressure([&] {
    std::mt19937 random(3);
    while (!done) {
      const int n = 12 + static_cast<int>(random() % 5);
      EXPECT_GE(pool.resize(n), n);
      EXPECT_LE(pool.n_slots(), 16);
      (void)pool.holds(0, static_cast<int>(random() % kExperts));
      EXPECT_LE(pool.statistics().wasted, pool.statistics().prefetched);
      std::this_thread::yield();
    }
  });
  for (auto& thread : threads) thread.join();
  done = true;
  pressure.join();
  EXPECT_EQ(pool.resize(6), 6) << "nobody holds a slot any more";
}

TEST(SlotPool, may_be_destroyed_while_reads_are_under_way) {
  Model model;
  for (int i = 0; i < 20; ++i) {
    SlotPool pool(model.reader, model.experts, 12, PolicyKind::lfu);
    pool.prefetch(0, std::vector{0, 1, 2, 3, 4, 5});
    (void)pool.lease(1, std::vector{0, 1});
  }
}

TEST(Arena, what_is_taken_ahead_of_writing_changes_nothing_that_was_written) {
  constexpr size_t kSize = 64 << 20, kStep = 1 << 20;
  Arena arena({kSize});
  for (size_t at = 0; at < kSize; at += kStep) {
    arena.take_ahead(at + kStep);
    std::memset(arena.data() + at, static_cast<int>(at / kStep), kStep);
  }
  for (size_t at = 0; at < kSize; at += kStep) {
    ASSERT_EQ(arena.data()[at], static_cast<std::byte>(at / kStep));
    ASSERT_EQ(arena.data()[at + kStep - 1], static_cast<std::byte>(at / kStep));
  }
  arena.release(0, kSize);
  arena.take_ahead(kSize);  // no more
}

}  // namespace
}  // namespace sluice::residency
