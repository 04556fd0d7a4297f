#include "sluice/base/checked.h"

#include <gtest/gtest.h>

#include <limits>

namespace sluice {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(Checked, sums_and_products_that_fit_are_returned) {
  EXPECT_EQ(checked_add(kMax - 1, 1), kMax);
  EXPECT_EQ(checked_multiply(1ULL << 32, (1ULL << 32) - 1), 0xFFFFFFFF00000000ULL);
}

TEST(Checked, overflow_is_nullopt_and_never_wraps) {
  EXPECT_EQ(checked_add(kMax, 1), std::nullopt);
  EXPECT_EQ(checked_multiply(1ULL << 32, 1ULL << 32), std::nullopt);
  EXPECT_EQ(checked_round_up(kMax, 32), std::nullopt);
}

TEST(Checked, rounding_up_keeps_multiples) {
  EXPECT_EQ(checked_round_up(0, 32), 0u);
  EXPECT_EQ(checked_round_up(33, 32), 64u);
  EXPECT_EQ(checked_round_up(64, 32), 64u);
}

}  // namespace
}  // namespace sluice
