#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "sluice/kernels/simd/simd_portable.h"
//
#include "sluice/kernels/simd/math_body.h"

namespace sluice::kernels {
namespace {

/// The error in units of the float's last place (of the smallest normal one below it).
double ulps(float got, double wanted) {
  int exponent = 0;
  std::frexp(wanted, &exponent);
  return std::abs(double{got} - wanted) / std::ldexp(1.0, std::max(exponent - 24, -149));
}

template <class Function>
float first_lane(Function function, float x) {
  float lanes[16];
  store(lanes, function(splat(x)));
  return lanes[0];
}

TEST(Math, exp_is_within_two_units_in_the_last_place) {
  double worst = 0;
  for (float x = -103.9F; x < 88.7F; x += 0.00037F) {
    worst =
        std::max(worst, ulps(first_lane([](f32x16 v) { return exp(v); }, x), std::exp(double{x})));
  }
  EXPECT_LT(worst, 2.0);
}

TEST(Math, exp_ends_in_zero_infinity_and_nan) {
  const auto e = [](float x) { return first_lane([](f32x16 v) { return exp(v); }, x); };
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(e(0.0F), 1.0F);
  EXPECT_EQ(e(-0.0F), 1.0F);
  EXPECT_EQ(e(-104.0F), 0.0F);
  EXPECT_EQ(e(-infinity), 0.0F);
  EXPECT_EQ(e(89.0F), infinity);
  EXPECT_EQ(e(infinity), infinity);
  EXPECT_TRUE(std::isnan(e(std::numeric_limits<float>::quiet_NaN())));
}

TEST(Math, tanh_is_within_four_units_in_the_last_place) {
  const auto t = [](float x) { return first_lane([](f32x16 v) { return tanh(v); }, x); };
  double worst = 0;
  for (float x = -20.0F; x < 20.0F; x += 0.00019F)
    worst = std::max(worst, ulps(t(x), std::tanh(double{x})));
  for (float x = 1e-38F; x < 1.0F; x *= 1.01F)
    worst = std::max(worst, ulps(t(x), std::tanh(double{x})));
  EXPECT_LT(worst, 4.0);
  EXPECT_EQ(t(100.0F), 1.0F);
  EXPECT_EQ(t(-std::numeric_limits<float>::infinity()), -1.0F);
}

}  // namespace
}  // namespace sluice::kernels
