#include "sluice/io/reads/aligned_span.h"

#include <gtest/gtest.h>

namespace sluice::io {
namespace {

TEST(AlignedSpan, covers_whole_pages_and_says_where_the_data_starts) {
  const AlignedSpan inside = aligned_span(5000, 100);
  EXPECT_EQ(inside.offset, 4096u);
  EXPECT_EQ(inside.bytes, 4096u);
  EXPECT_EQ(inside.skip, 904u);
  const AlignedSpan across = aligned_span(4095, 2);
  EXPECT_EQ(across.offset, 0u);
  EXPECT_EQ(across.bytes, 8192u);
  EXPECT_EQ(across.skip, 4095u);
  const AlignedSpan exact = aligned_span(8192, 4096);
  EXPECT_EQ(exact.offset, 8192u);
  EXPECT_EQ(exact.bytes, 4096u);
  EXPECT_EQ(exact.skip, 0u);
}

TEST(JoinNeighbours, joins_small_gaps_only_and_keeps_files_apart) {
  const std::vector<Extent> extents = {{0, 1000, 100}, {1, 1200, 10}, {0, 0, 900}, {0, 5000, 1}};
  const auto runs = join_neighbours(extents, 100);
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[0].extent.offset, 0u);
  EXPECT_EQ(runs[0].extent.bytes, 1100u);
  EXPECT_EQ(runs[0].members, (std::vector<size_t>{2, 0}));
  EXPECT_EQ(runs[1].members, std::vector<size_t>{3});
  EXPECT_EQ(runs[2].extent.file, 1u);
}

TEST(JoinNeighbours, an_extent_inside_another_does_not_shorten_it) {
  const std::vector<Extent> extents = {{0, 0, 1000}, {0, 10, 10}, {0, 1000, 1}};
  const auto runs = join_neighbours(extents, 0);
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].extent.bytes, 1001u);
}

}  // namespace
}  // namespace sluice::io
