#include "sluice/residency/dense/dense_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "sluice/base/error.h"
#include "sluice/io/reads/reader_test_files.h"

namespace sluice::residency {
namespace {

constexpr uint64_t kPart = 70'001;

/// Five stages of three parts with a second, small extent each; the middle part stays, the others are streamed.
class Model {
 public:
  explicit Model(io::ReaderOptions options = {}) : reader(file.files(), options) {
    for (uint64_t stage = 0; stage < 5; ++stage) {
      auto& parts = stages.emplace_back();
      for (uint64_t i = 0; i < 3; ++i) {
        const uint64_t at = 77 + (3 * stage + i) * kPart;
        parts.push_back({{{0, at, kPart}, {0, 1'500'000 + at / 100, 300}}, i != 1});
      }
    }
  }

  /// Whether the store has the bytes of a part.
  bool holds(DenseStore& store, size_t stage, size_t part) const {
    const auto& extents = stages[stage][part].extents;
    return std::ranges::all_of(extents, [&](const io::Extent& e) {
      return std::memcmp(store.address(e.file, e.offset), file.contents().data() + e.offset,
                         e.bytes) == 0;
    });
  }

  io::RandomFile file{2'000'000};
  io::AsyncReader reader;
  std::vector<std::vector<DensePart>> stages;
};

TEST(DenseStore, gives_every_part_around_and_around) {
  Model model;
  DenseStore store(model.reader, model.stages);
  for (int cycle = 0; cycle < 3; ++cycle) {
    for (size_t stage = 0; stage < 5; ++stage) {
      for (size_t part = 0; part < 3; ++part) {
        EXPECT_TRUE(model.holds(store, stage, part)) << cycle << " " << stage << " " << part;
      }
    }
  }
}

TEST(DenseStore, is_right_in_any_order) {
  Model model;
  DenseStore store(model.reader, model.stages);
  for (const size_t stage : {3, 0, 4, 4, 2, 1, 3, 0}) {
    EXPECT_TRUE(model.holds(store, stage, 2)) << stage;
    EXPECT_TRUE(model.holds(store, stage, 0)) << stage;
  }
}

TEST(DenseStore, reads_each_streamed_byte_once_per_cycle) {
  Model model;
  DenseStore store(model.reader, model.stages);
  const auto cycle = [&] {
    for (size_t stage = 0; stage < 5; ++stage) {
      for (size_t part = 0; part < 3; ++part) EXPECT_TRUE(model.holds(store, stage, part));
    }
    return model.reader.statistics().requests;
  };
  cycle();
  const uint64_t before = cycle();
  const uint64_t after = cycle();
  EXPECT_EQ(after - before, 5 * 2 * 2);
}

TEST(DenseStore, a_failed_read_is_told_and_tried_again) {
  std::atomic<bool> broken{false};
  Model model({.tamper = [&](size_t, uint64_t, int64_t answer) {
    return broken ? -int64_t{EIO} : answer;
  }});
  DenseStore store(model.reader, model.stages);
  EXPECT_TRUE(model.holds(store, 0, 0));
  broken = true;
  EXPECT_THROW(
      {
        for (size_t stage = 1; stage < 5; ++stage) model.holds(store, stage, 0);
      },
      Error);
  broken = false;
  for (size_t stage = 0; stage < 5; ++stage) EXPECT_TRUE(model.holds(store, stage, 2));
}

TEST(DenseStore, knows_what_stays) {
  Model model;
  DenseStore store(model.reader, model.stages);
  const auto resident = [&](size_t part) {
    return store.resident_address(0, model.stages[2][part].extents[0].offset);
  };
  EXPECT_EQ(resident(0), nullptr);
  ASSERT_NE(resident(1), nullptr);
  EXPECT_EQ(resident(1), store.address(0, model.stages[2][1].extents[0].offset));
  EXPECT_THROW(store.address(0, 1'999'999), Error);
}

}  // namespace
}  // namespace sluice::residency
