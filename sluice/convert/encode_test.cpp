#include "sluice/convert/encode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "sluice/convert/half.h"
#include "sluice/kernels/kernels.h"

namespace sluice::convert {
namespace {

using kernels::Format;
using kernels::Matrix;

constexpr int64_t kCols = 512;

std::vector<float> values(uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(kCols);
  for (float& value : x) value = normal(random);
  return x;
}

/// What kernels read of what was encoded.
std::vector<float> through(Matrix as, const std::vector<float>& x,
                           const float* importance = nullptr) {
  std::vector<std::byte> data(static_cast<size_t>(as.row_bytes)),
      scales(static_cast<size_t>(as.scale_row_bytes) + 1), biases(scales.size());
  encode_row(as, x.data(), importance, {data.data(), scales.data(), biases.data()});
  as.data = data.data();
  as.scales = scales.data();
  as.biases = biases.data();
  std::vector<float> read(x.size());
  kernels::kernels().dequantize_row(as, 0, read.data());
  return read;
}

double error(const std::vector<float>& x, const std::vector<float>& y,
             const std::vector<float>& weights = {}) {
  double off = 0, all = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double w = weights.empty() ? 1 : weights[i];
    off += w * (x[i] - y[i]) * (x[i] - y[i]);
    all += w * x[i] * x[i];
  }
  return std::sqrt(off / all);
}

constexpr Format kBlockTypes[] = {Format::q4_0, Format::q4_1, Format::q5_0,   Format::q5_1,
                                  Format::q8_0, Format::q2_k, Format::q3_k,   Format::q4_k,
                                  Format::q5_k, Format::q6_k, Format::iq4_nl, Format::iq4_xs};

TEST(Encode, every_block_type_is_read_as_about_what_was_encoded) {
  const double limits[] = {0.1,  0.09, 0.05,  0.045, 0.007, 0.34,
                           0.17, 0.08, 0.042, 0.021, 0.085, 0.09};
  for (size_t i = 0; i < std::size(kBlockTypes); ++i) {
    const auto x = values(7);
    EXPECT_LT(error(x, through(layout_of(kBlockTypes[i], 1, kCols), x)), limits[i]) << i;
  }
}

TEST(Encode, importance_moves_error_to_where_it_does_not_count) {
  std::vector<float> importance(kCols);
  for (size_t i = 0; i < importance.size(); ++i) importance[i] = i % 7 == 0 ? 50.0F : 0.1F;
  for (const Format format : {Format::q2_k, Format::q3_k, Format::q4_k, Format::iq4_xs}) {
    const auto x = values(8);
    const Matrix as = layout_of(format, 1, kCols);
    EXPECT_LT(error(x, through(as, x, importance.data()), importance),
              error(x, through(as, x), importance));
  }
}

TEST(Encode, zeros_infinities_and_nan_are_codes_like_any_other) {
  const float odd[] = {0.0F, INFINITY, -INFINITY, NAN, 1e38F, 1e-42F, -0.0F};
  for (const float value : odd) {
    std::vector<float> x(kCols, value);
    for (const Format format : kBlockTypes) through(layout_of(format, 1, kCols), x);
    for (const int bits : {2, 3, 4, 5, 6, 8})
      through(layout_of(Format::affine, 1, kCols, bits, 64, Format::bf16), x);
    if (std::isfinite(value)) through(layout_of(Format::mxfp4, 1, kCols, 4, 32, Format::bf16), x);
  }
  const std::vector<float> zeros(kCols, 0.0F);
  for (const Format format : kBlockTypes)
    EXPECT_EQ(through(layout_of(format, 1, kCols), zeros), zeros);
}

TEST(Half, rounds_to_the_nearest_and_ties_to_even) {
  for (uint32_t half = 0; half < 0x7C00; ++half) {
    const float value = from_f16(static_cast<uint16_t>(half));
    const float next = from_f16(static_cast<uint16_t>(half + 1));
    EXPECT_EQ(to_f16(value), half);
    EXPECT_EQ(to_f16(-value), half | 0x8000U);
    if (half + 1 < 0x7C00) {
      EXPECT_EQ(to_f16((value + next) / 2), half + (half & 1U));
    }
  }
  EXPECT_EQ(to_f16(65520.0F), 0x7C00);
  EXPECT_EQ(to_f16(65519.0F), 0x7BFF);
}

}  // namespace
}  // namespace sluice::convert
