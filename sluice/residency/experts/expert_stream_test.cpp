#include "sluice/residency/experts/expert_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/io/reads/reader_test_files.h"

namespace sluice::residency {
namespace {

constexpr int kExperts = 32;
constexpr int64_t kRows = 24, kRowBytes = 512;

/// Two layers of experts, one matrix of bytes each.
struct Model {
  explicit Model(decltype(io::ReaderOptions::tamper) tamper = {})
      : reader(file.files(), {.tamper = std::move(tamper)}) {
    files.n_layers = 2;
    files.n_experts = kExperts;
    for (int i = 0; i < 2 * kExperts; ++i) {
      Weight& w = weights.emplace_back();
      w.matrix.rows = kRows;
      w.matrix.row_bytes = kRowBytes;
      w.data = {0, 99 + static_cast<uint64_t>(i * kRows * kRowBytes)};
      files.extents.push_back({{0, w.data.offset, kRows * kRowBytes}});
    }
  }

  /// Takes experts of a layer from a stream to its end; which came, sorted.
  std::vector<int> drain(ExpertStream stream, int layer) const {
    std::vector<int> all;
    for (auto some = stream.next(); !some.empty(); some = stream.next()) {
      for (const int expert : some) {
        const Weight& w = weights[static_cast<size_t>(layer * kExperts + expert)];
        EXPECT_EQ(std::memcmp(stream.acquire(expert, w).data,
                              file.contents().data() + w.data.offset, kRows * kRowBytes),
                  0)
            << expert;
        all.push_back(expert);
      }
    }
    std::ranges::sort(all);
    return all;
  }

  io::RandomFile file{1'000'000};
  io::AsyncReader reader;
  ExpertFiles files;
  std::vector<Weight> weights;
};

std::vector<int> up_to(int n) {
  std::vector<int> all(static_cast<size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

TEST(ExpertStream, gives_each_expert_once_whatever_the_pool_holds) {
  for (const int n_slots : {4, 9, 40, 64}) {
    Model mine;
    SlotPool pool(mine.reader, mine.files, n_slots, PolicyKind::lfu);
    for (int round = 0; round < 2; ++round) {
      for (const int layer : {0, 1}) {
        EXPECT_EQ(mine.drain({pool, layer, up_to(kExperts), Use::pass}, layer), up_to(kExperts));
        EXPECT_EQ(mine.drain({pool, layer, std::vector{7, 3}, Use::keep}, layer),
                  (std::vector{3, 7}));
      }
    }
  }
}

TEST(ExpertStream, a_prompt_leaves_what_decoding_had) {
  Model model;
  SlotPool pool(model.reader, model.files, 48, PolicyKind::lfu);
  const std::vector<int> hot{1, 4, 9};
  for (int token = 0; token < 5; ++token) model.drain({pool, 0, hot, Use::keep}, 0);
  for (const int layer : {0, 1}) model.drain({pool, layer, up_to(kExperts), Use::pass}, layer);
  for (const int expert : hot) EXPECT_TRUE(pool.holds(0, expert)) << expert;
}

TEST(ExpertStream, a_prompt_reads_each_expert_once) {
  Model model;
  SlotPool pool(model.reader, model.files, 40, PolicyKind::lfu);
  for (const int layer : {0, 1}) model.drain({pool, layer, up_to(kExperts), Use::pass}, layer);
  EXPECT_EQ(model.reader.statistics().requests, 2 * kExperts);
}

TEST(ExpertStream, says_whether_the_next_experts_are_still_read) {
  io::Gate gate;
  Model model([&](size_t, uint64_t offset, int64_t answer) { return gate.pass(offset, answer); });
  SlotPool pool(model.reader, model.files, 8, PolicyKind::lru);
  ExpertStream stream(pool, 0, std::vector{1, 2}, Use::keep);
  EXPECT_TRUE(stream.would_wait());
  gate.open();
  for (auto some = stream.next(); !some.empty(); some = stream.next()) continue;
  EXPECT_FALSE(stream.would_wait()) << "nothing is left";
}

TEST(ExpertStream, what_is_not_in_memory_is_not_given) {
  Model model;
  SlotPool pool(model.reader, model.files, 8, PolicyKind::lru);
  ExpertStream stream(pool, 0, std::vector{1, 2}, Use::keep);
  stream.next();
  EXPECT_THROW(stream.acquire(5, model.weights[5]), Error);
}

}  // namespace
}  // namespace sluice::residency
