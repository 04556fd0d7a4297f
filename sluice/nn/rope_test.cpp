#include "sluice/nn/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sluice/base/error.h"

namespace sluice::nn {
namespace {

using Kind = RopeConfig::Kind;

TEST(Rope, plain_angles_are_powers_of_theta) {
  const Rope rope(RopeConfig{.dims = 8, .theta = 10000});
  EXPECT_DOUBLE_EQ(rope.angle(3, 0), 3);
  EXPECT_NEAR(rope.angle(3, 1), 3 * std::pow(10000, -0.25), 1e-12);
  EXPECT_EQ(rope.magnitude(), 1);
}

TEST(Rope, linear_scaling_divides_the_position) {
  const Rope rope(RopeConfig{.kind = Kind::linear, .dims = 8, .factor = 4});
  EXPECT_DOUBLE_EQ(rope.angle(8, 0), 2);
}

TEST(Rope, dynamic_scaling_leaves_the_trained_context_alone) {
  const Rope rope(RopeConfig{.kind = Kind::dynamic, .dims = 8, .factor = 2, .max_positions = 100});
  const Rope plain(RopeConfig{.dims = 8});
  EXPECT_EQ(rope.angle(99, 2), plain.angle(99, 2));
  EXPECT_LT(rope.angle(150, 2), plain.angle(150, 2));
}

TEST(Rope, yarn_keeps_fast_pairs_and_slows_the_others) {
  const RopeConfig config{.kind = Kind::yarn, .dims = 64, .factor = 8, .original_positions = 4096};
  const Rope rope(config);
  const Rope plain(RopeConfig{.dims = 64});
  EXPECT_DOUBLE_EQ(rope.angle(5, 0), plain.angle(5, 0));
  EXPECT_NEAR(rope.angle(5, 31), plain.angle(5, 31) / 8, 1e-12);
  EXPECT_NEAR(rope.magnitude(), 0.1 * std::log(8.0) + 1, 1e-12);
}

/// The numbers are transformers' (modeling_rope_utils.py, _compute_yarn_parameters), for 16 rotated elements.
TEST(Rope, yarn_without_truncation_has_its_ramp_between_pairs) {
  RopeConfig config{.kind = Kind::yarn, .dims = 16, .factor = 4, .original_positions = 64};
  const Rope truncated(config);
  config.truncate = false;
  const Rope exact(config);
  EXPECT_EQ(exact.angle(1, 0), 1);
  EXPECT_NEAR(truncated.angle(1, 1), 0.2371708245, 1e-7);
  EXPECT_NEAR(exact.angle(1, 1), 0.1985835202, 1e-7);
  EXPECT_NEAR(exact.angle(1, 7), std::pow(10000, -0.875) / 4, 1e-12);
  config.attention_factor = 3;
  EXPECT_EQ(Rope(config).magnitude(), 3);
  config = {.kind = Kind::yarn,
            .dims = 16,
            .factor = 4,
            .original_positions = 64,
            .mscale = 0.7,
            .mscale_all_dim = 0.5};
  EXPECT_NEAR(Rope(config).magnitude(), (0.07 * std::log(4.0) + 1) / (0.05 * std::log(4.0) + 1),
              1e-12);
}

TEST(Rope, numbers_that_make_no_rotation_are_refused) {
  EXPECT_THROW(Rope(RopeConfig{.dims = 7}), Error);
  EXPECT_THROW(Rope(RopeConfig{.dims = 8, .theta = 0}), Error);
  EXPECT_THROW(Rope(RopeConfig{.dims = 8, .divisors = {1, 2}}), Error);
  EXPECT_THROW(Rope(RopeConfig{.kind = Kind::yarn, .dims = 8, .original_positions = 0}), Error);
  EXPECT_THROW(Rope(RopeConfig{.kind = Kind::linear, .dims = 8, .factor = 0}), Error);
}

}  // namespace
}  // namespace sluice::nn
