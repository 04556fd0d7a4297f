#include "sluice/ops/rounding.h"

#include <gtest/gtest.h>
#include <mlx/mlx.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace sluice::ops {
namespace {

namespace mx = mlx::core;

/// Magnitudes from far below what a scale holds to far above 1, ties and zeros among them.
std::vector<float> values(int64_t n) {
  std::mt19937 random(11);
  std::uniform_int_distribution<int> exponent(-24, 8), eighths(-128, 128);
  std::vector<float> all;
  for (int64_t i = 0; i < n; ++i)
    all.push_back(std::ldexp(static_cast<float>(eighths(random)) / 8, exponent(random) / 4));
  return all;
}

mx::array largest(const mx::array& blocks, float least) {
  return mx::maximum(mx::max(mx::abs(blocks), -1, true), mx::array(least));
}

mx::array power_above(const mx::array& x) {
  return mx::power(mx::array(2.0F), mx::ceil(mx::log2(x)));
}

mx::array through_e4m3(const mx::array& x) { return mx::from_fp8(mx::to_fp8(x), mx::float32); }

/// By the thresholds between its eight magnitudes, of which those with an even code have the ties.
mx::array through_e2m1(const mx::array& x) {
  constexpr float kSteps[] = {0.5F, 0.5F, 0.5F, 0.5F, 1, 1, 2};
  constexpr float kBounds[] = {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5};
  const mx::array size = mx::abs(x);
  mx::array sum = mx::zeros_like(x);
  for (int i = 0; i < 7; ++i) {
    const mx::array bound(kBounds[i]);
    const mx::array above = i % 2 == 0 ? mx::greater(size, bound) : mx::greater_equal(size, bound);
    sum = mx::add(sum, mx::multiply(mx::astype(above, mx::float32), mx::array(kSteps[i])));
  }
  return mx::multiply(mx::sign(x), sum);
}

/// As mlx-lm rounds, written with MLX's operations.
mx::array reference(Rounding rounding, const std::vector<float>& x) {
  const int block = rounding == Rounding::e2m1_e4m3 ? 16 : 32;
  const int n = static_cast<int>(x.size()) / block;
  const mx::array blocks(x.data(), {n, block}, mx::float32);
  const auto of = [&](float most, const mx::array& scale) {
    return mx::clip(mx::divide(blocks, scale), mx::array(-most), mx::array(most));
  };
  if (rounding == Rounding::e4m3) {
    const mx::array scale = power_above(mx::divide(largest(blocks, 1e-4F), mx::array(448.0F)));
    return mx::multiply(through_e4m3(of(448, scale)), scale);
  }
  const bool by_e4m3 = rounding == Rounding::e2m1_e4m3;
  const mx::array share =
      mx::divide(largest(blocks, std::ldexp(6.0F, by_e4m3 ? -9 : -126)), mx::array(6.0F));
  const mx::array scale = by_e4m3 ? through_e4m3(share) : power_above(share);
  return mx::multiply(through_e2m1(of(6, scale)), scale);
}

TEST(Rounding, gives_what_the_reference_gives) {
  for (const Rounding rounding : {Rounding::e4m3, Rounding::e2m1, Rounding::e2m1_e4m3}) {
    std::vector<float> x = values(32 * 512);
    mx::array wanted = reference(rounding, x);
    mx::eval(wanted);
    round_row(rounding, x.data(), std::ssize(x));
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_EQ(x[i], wanted.data<float>()[i]) << static_cast<int>(rounding) << " at " << i;
  }
}

TEST(Rounding, leaves_rows_that_are_no_whole_blocks) {
  for (const Rounding rounding : {Rounding::e4m3, Rounding::e2m1, Rounding::e2m1_e4m3}) {
    std::vector<float> odd = values(40);
    round_row(rounding, odd.data(), 40);
    EXPECT_EQ(odd, values(40));
  }
}

TEST(Rounding, takes_what_no_model_should_give) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const Rounding rounding : {Rounding::e4m3, Rounding::e2m1, Rounding::e2m1_e4m3}) {
    for (const float odd : {kInfinity, -kInfinity, std::nanf(""), 3e38F, 1e-45F, 0.0F}) {
      std::vector<float> x(32, odd);
      round_row(rounding, x.data(), 32);
      if (odd == 0) {
        EXPECT_EQ(x[0], 0);
      }
    }
  }
}

}  // namespace
}  // namespace sluice::ops
