#include "sluice/decode/philox.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace sluice::decode {
namespace {

/// "Known answer tests" of Random123, the authors' implementation.
TEST(Philox, gives_the_published_answers) {
  using Words = std::array<uint32_t, 4>;
  constexpr uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

/// Chi-square over 64 cells, whose 0.9999 quantile with 63 degrees of freedom is 111.
void expect_uniform(const std::vector<double>& numbers, const char* what) {
  std::vector<double> cells(64);
  for (const double x : numbers) {
    ASSERT_GE(x, 0.0);
    ASSERT_LT(x, 1.0);
    ++cells[static_cast<size_t>(x * 64)];
  }
  const double expected = static_cast<double>(numbers.size()) / 64;
  double chi_square = 0;
  for (const double n : cells) chi_square += (n - expected) * (n - expected) / expected;
  EXPECT_LT(chi_square, 111) << what;
}

TEST(Philox, is_uniform_over_positions_seeds_and_draws) {
  constexpr uint64_t kNumbers = 64'000;
  std::vector<double> positions, seeds, draws, pairs;
  for (uint64_t i = 0; i < kNumbers; ++i) {
    positions.push_back(uniform(1, i, 0));
    seeds.push_back(uniform(i, 1, 0));
    draws.push_back(uniform(1, 1, static_cast<uint32_t>(i)));
    pairs.push_back(std::fmod(uniform(1, i, 0) + uniform(1, i, 1), 1.0));
  }
  expect_uniform(positions, "positions");
  expect_uniform(seeds, "seeds");
  expect_uniform(draws, "draws");
  expect_uniform(pairs, "two draws of a position are independent");
}

TEST(Philox, uses_all_bits_of_seed_and_position) {
  EXPECT_NE(uniform(1, 5, 0), uniform(1 | uint64_t{1} << 32, 5, 0));
  EXPECT_NE(uniform(1, 5, 0), uniform(1, 5 | uint64_t{1} << 32, 0));
  EXPECT_NE(uniform(1, 5, 0), uniform(1, 5, 1));
}

}  // namespace
}  // namespace sluice::decode
