#include "sluice/ops/rounding.h"

#include <algorithm>
#include <cmath>

namespace sluice::ops {
namespace {

constexpr float kMostE4m3 = 448, kMostE2m1 = 6;

/// The nearest number of E4M3, of two equally near ones the even. |x| is at most 448.
float nearest_e4m3(float x) {
  constexpr int kLeastExponent = -6, kMantissa = 3;
  int exponent = kLeastExponent;
  if (std::abs(x) >= std::ldexp(1.0F, kLeastExponent)) exponent = std::ilogb(x);
  const float step = std::ldexp(1.0F, exponent - kMantissa);
  return std::nearbyint(x / step) * step;
}

/// The same of E2M1. |x| is at most 6.
float nearest_e2m1(float x) {
  const float size = std::abs(x);
  const float step = size < 2 ? 0.5F : size < 4 ? 1.0F : 2.0F;
  return std::nearbyint(x / step) * step;
}

/// The least power of two that is x or more.
float power_above(float x) {
  int exponent = 0;
  const float fraction = std::frexp(x, &exponent);
  return std::ldexp(1.0F, fraction == 0.5F ? exponent - 1 : exponent);
}

float largest(const float* x, int64_t n, float least) {
  for (int64_t i = 0; i < n; ++i) least = std::max(least, std::abs(x[i]));
  return least;
}

template <typename Nearest>
void round_block(float* x, int64_t n, float scale, float most, Nearest nearest) {
  for (int64_t i = 0; i < n; ++i) x[i] = nearest(std::clamp(x[i] / scale, -most, most)) * scale;
}

}  // namespace

void round_row(Rounding rounding, float* x, int64_t n) noexcept {
  if (rounding == Rounding::none) return;
  const int64_t block = rounding == Rounding::e2m1_e4m3 ? 16 : 32;
  if (n % block != 0) return;
  for (float* const end = x + n; x < end; x += block) {
    switch (rounding) {
      case Rounding::e4m3:
        round_block(x, block, power_above(largest(x, block, 1e-4F) / kMostE4m3), kMostE4m3,
                    nearest_e4m3);
        break;
      case Rounding::e2m1: {
        const float least = std::ldexp(kMostE2m1, -126);
        round_block(x, block, power_above(largest(x, block, least) / kMostE2m1), kMostE2m1,
                    nearest_e2m1);
        break;
      }
      default: {
        const float share = largest(x, block, std::ldexp(kMostE2m1, -9)) / kMostE2m1;
        round_block(x, block, nearest_e4m3(std::min(share, kMostE4m3)), kMostE2m1, nearest_e2m1);
      }
    }
  }
}

}  // namespace sluice::ops
