#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "sluice/kernels/isa/tables.h"
#include "sluice/kernels/kernels.h"
#include "sluice/kernels/testing/stored_matrix.h"

namespace sluice::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Values over the whole range: a dense grid near zero, then powers.
std::vector<float> wide_range() {
  std::vector<float> x = {0.0F, -0.0F, 1e-40F, -1e-40F};
  for (int i = -24000; i <= 24000; ++i) x.push_back(static_cast<float>(i) / 200.0F);
  for (float v = 1e-38F; v < 1e38F; v *= 1.7F) {
    x.push_back(v);
    x.push_back(-v);
  }
  return x;
}

std::vector<float> gated(Activation act, const std::vector<float>& gate, float up,
                         float limit = 7.0F) {
  const std::vector<float> ups(gate.size(), up);
  std::vector<float> y(gate.size());
  kernels().gated(act, limit, gate.data(), ups.data(), static_cast<int64_t>(gate.size()), y.data());
  return y;
}

double phi(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// |got - wanted| <= relative |wanted| + of_x |x|, and equal infinities. Where e^-x overflows, an
/// activation is 0 instead of what it should be, which is below 3e-37.
template <class Reference>
void expect_accuracy(Activation act, double relative, double of_x, Reference reference) {
  const std::vector<float> x = wide_range(), y = gated(act, x, 1.0F);
  for (size_t i = 0; i < x.size(); ++i) {
    const double wanted = reference(double{x[i]});
    if (std::abs(wanted) > double{std::numeric_limits<float>::max()}) {
      ASSERT_EQ(y[i], std::copysign(kInfinity, static_cast<float>(wanted))) << x[i];
      continue;
    }
    const double bound = relative * std::abs(wanted) + of_x * std::abs(double{x[i]}) + 3e-37;
    ASSERT_NEAR(y[i], wanted, bound) << "at " << x[i];
  }
}

TEST(Gated, silu_is_accurate_everywhere) {
  expect_accuracy(Activation::silu, 4e-7, 0, [](double x) { return x * sigmoid(x); });
}

TEST(Gated, gelu_is_accurate_to_1e_7_of_x) {
  expect_accuracy(Activation::gelu, 1.2e-7, 1e-7, [](double x) { return x * phi(x); });
}

TEST(Gated, gelu_tanh_is_accurate_to_1e_7_of_x) {
  expect_accuracy(Activation::gelu_tanh, 4e-7, 1e-7, [](double x) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  });
}

TEST(Gated, relu_and_its_square_are_exact) {
  expect_accuracy(Activation::relu, 0, 0, [](double x) { return x > 0 ? x : 0; });
  expect_accuracy(Activation::relu_squared, 6e-8, 0, [](double x) { return x > 0 ? x * x : 0; });
}

TEST(Gated, swiglu_clipped_is_gpt_oss_s) {
  const std::vector<float> gate = wide_range();
  for (const float up : {-20.0F, -7.0F, -1.0F, 0.5F, 7.0F, 1e30F}) {
    const std::vector<float> y = gated(Activation::swiglu_clipped, gate, up);
    for (size_t i = 0; i < gate.size(); ++i) {
      const double g = std::min(double{gate[i]}, 7.0), u = std::clamp(double{up}, -7.0, 7.0);
      const double wanted = g * sigmoid(double{1.702F} * g) * (u + 1);
      const double of_argument = 6e-8 * 1.702 * std::abs(g);  // rounded before exp
      const double bound = (6e-7 + of_argument) * std::abs(wanted) + 3e-36;
      ASSERT_NEAR(y[i], wanted, bound) << gate[i] << " " << up;
    }
  }
}

TEST(Gated, nan_stays_nan_and_plus_infinity_stays) {
  for (const Activation act : {Activation::silu, Activation::gelu, Activation::gelu_tanh}) {
    const std::vector<float> y = gated(act, {kNan, kInfinity}, 1.0F);
    EXPECT_TRUE(std::isnan(y[0]));
    EXPECT_EQ(y[1], kInfinity);
  }
}

TEST(Gated, an_element_does_not_depend_on_its_place_or_on_n) {
  std::mt19937 random(1);
  const std::vector<float> gate = random_floats(100, random), up = random_floats(100, random);
  for (const Activation act :
       {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::relu,
        Activation::relu_squared, Activation::swiglu_clipped}) {
    std::vector<float> all(100), one(1);
    kernels().gated(act, 7.0F, gate.data(), up.data(), 100, all.data());
    for (size_t i = 0; i < 100; ++i) {
      kernels().gated(act, 7.0F, gate.data() + i, up.data() + i, 1, one.data());
      ASSERT_EQ(one[0], all[i]);
    }
    std::vector<float> in_place = gate;
    kernels().gated(act, 7.0F, in_place.data(), up.data(), 100, in_place.data());
    EXPECT_EQ(in_place, all);
  }
}

TEST(Norms, rms_norm_agrees_with_double_precision) {
  std::mt19937 random(2);
  for (const int64_t n : {1, 7, 16, 33, 640, 4096}) {
    const auto x = random_floats(n, random), weight = random_floats(n, random);
    std::vector<float> y(x.size());
    double squares = 0;
    for (const float v : x) squares += double{v} * double{v};
    const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-6);
    for (const bool weighted : {false, true}) {
      kernels().rms_norm(x.data(), weighted ? weight.data() : nullptr, 1.0F, n, 1e-6F, y.data());
      for (size_t i = 0; i < x.size(); ++i) {
        const double wanted = double{x[i]} * scale * (weighted ? double{weight[i]} + 1.0 : 1.0);
        ASSERT_NEAR(y[i], wanted, 6e-7 * std::abs(wanted) + 1e-7) << n;
      }
    }
    std::vector<float> in_place = x;
    kernels().rms_norm(in_place.data(), weight.data(), 1.0F, n, 1e-6F, in_place.data());
    EXPECT_EQ(in_place, y);
  }
}

TEST(Norms, layer_norm_agrees_with_double_precision) {
  std::mt19937 random(2);
  for (const int64_t n : {2, 7, 16, 33, 640, 4096}) {
    auto x = random_floats(n, random);
    for (float& v : x) v += 3.0F;
    const auto weight = random_floats(n, random), bias = random_floats(n, random);
    std::vector<float> y(x.size());
    double mean = 0, variance = 0;
    for (const float v : x) mean += double{v} / static_cast<double>(n);
    for (const float v : x)
      variance += (double{v} - mean) * (double{v} - mean) / static_cast<double>(n);
    kernels().layer_norm(x.data(), weight.data(), bias.data(), n, 1e-5F, y.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const double wanted =
          (double{x[i]} - mean) / std::sqrt(variance + 1e-5) * double{weight[i]} + double{bias[i]};
      ASSERT_NEAR(y[i], wanted, 5e-6) << n;
    }
  }
}

TEST(Rope, rotates_both_layouts_and_leaves_the_rest) {
  std::mt19937 random(3);
  for (const int64_t n_pairs : {1, 8, 16, 20, 64}) {
    std::vector<float> cos(static_cast<size_t>(n_pairs)), sin = cos;
    for (size_t i = 0; i < cos.size(); ++i) {
      cos[i] = std::cos(static_cast<float>(i) * 0.37F);
      sin[i] = std::sin(static_cast<float>(i) * 0.37F);
    }
    for (const bool interleaved : {false, true}) {
      const auto head = random_floats(2 * n_pairs + 5, random);
      std::vector<float> got = head, wanted = head;
      kernels().rope(got.data(), cos.data(), sin.data(), n_pairs, interleaved);
      for (size_t i = 0; i < cos.size(); ++i) {
        const size_t p = interleaved ? 2 * i : i;
        const size_t q = interleaved ? p + 1 : i + static_cast<size_t>(n_pairs);
        const double a = double{head[p]}, b = double{head[q]}, c = double{cos[i]},
                     s = double{sin[i]};
        ASSERT_NEAR(got[p], a * c - b * s, 4e-7);
        ASSERT_NEAR(got[q], b * c + a * s, 4e-7);
      }
      for (size_t i = 2 * cos.size(); i < head.size(); ++i) EXPECT_EQ(got[i], head[i]);
      portable_table.rope(wanted.data(), cos.data(), sin.data(), n_pairs, interleaved);
      EXPECT_EQ(got, wanted);
    }
  }
}

/// The nearest of all 16-bit floats by search, ties to the even code; `decode` gives a code's value.
template <class Decode>
uint16_t nearest_code(float x, int infinity, Decode decode) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  int low = 0, high = infinity;  // codes of positive numbers ascend
  const double magnitude = std::min(std::abs(double{x}), decode(static_cast<uint16_t>(infinity)));
  while (high - low > 1) {
    const int mid = (low + high) / 2;
    (decode(static_cast<uint16_t>(mid)) <= magnitude ? low : high) = mid;
  }
  const double below = magnitude - decode(static_cast<uint16_t>(low));
  const double above = decode(static_cast<uint16_t>(high)) - magnitude;
  const bool up = above < below || (above == below && (low & 1));
  return static_cast<uint16_t>(sign | (up ? high : low));
}

/// A code's value; infinity counts as the next power of two, which is where rounding to it begins.
double half_value(uint16_t code) {
  const int exponent = code >> 10 & 31, mantissa = code & 1023;
  if (exponent == 31) return 65536.0;
  return exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
}
double bfloat_value(uint16_t code) {
  const int exponent = code >> 7 & 255, mantissa = code & 127;
  if (exponent == 255) return std::ldexp(1.0, 128);
  return exponent == 0 ? std::ldexp(mantissa, -133) : std::ldexp(128 + mantissa, exponent - 134);
}

TEST(StoreKv, rounds_to_nearest_even) {
  std::vector<float> x = wide_range();
  for (const float v : {65504.0F, 65519.9F, 65520.0F, 65536.0F, 0x1p-24F, 0x1p-25F, 0x1.8p-25F,
                        0x1.8p-24F, 0x1.ffcp-15F, 0x1.ffep-15F, 1.0009765F, 1.00048828125F,
                        1.00146484375F, 3.4e38F, kInfinity}) {
    x.push_back(v);
    x.push_back(-v);
  }
  x.resize(x.size() - x.size() % 16 + 9);
  std::vector<uint16_t> half(x.size()), upper(x.size());
  kernels().store_kv(x.data(), static_cast<int64_t>(x.size()), KvType::f16, half.data());
  kernels().store_kv(x.data(), static_cast<int64_t>(x.size()), KvType::bf16, upper.data());
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(half[i], nearest_code(x[i], 0x7c00, half_value)) << x[i];
    ASSERT_EQ(upper[i], nearest_code(x[i], 0x7f80, bfloat_value)) << x[i];
  }
}

TEST(StoreKv, keeps_nan_and_writes_n_elements_only) {
  const float x[3] = {kNan, 1.0F, -2.0F};
  for (const KvType type : {KvType::f16, KvType::bf16}) {
    uint16_t out[4] = {0, 0, 0, 0x1234};
    kernels().store_kv(x, 3, type, out);
    const uint16_t infinity = type == KvType::f16 ? 0x7c00 : 0x7f80;
    EXPECT_GT(out[0] & 0x7fff, infinity);
    EXPECT_EQ(out[3], 0x1234);
  }
  float same[3];
  kernels().store_kv(x, 3, KvType::f32, same);
  EXPECT_EQ(std::memcmp(same, x, sizeof x), 0);
}

TEST(AddScaled, adds_once_rounded_where_the_set_fuses) {
  std::mt19937 random(5);
  const bool fused = kernels().isa != "portable";
  for (const int64_t n : {1, 16, 39}) {
    const auto x = random_floats(n, random), before = random_floats(n, random);
    std::vector<float> y = before;
    kernels().add_scaled(x.data(), 0.37F, n, y.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const float product = 0.37F * x[i];
      EXPECT_EQ(y[i], fused ? std::fma(0.37F, x[i], before[i]) : product + before[i]);
    }
  }
}

TEST(Elementwise, is_near_the_portable_result) {
  std::mt19937 random(6);
  const auto x = random_floats(645, random), w = random_floats(645, random);
  std::vector<float> a(645), b(645);
  kernels().rms_norm(x.data(), w.data(), 0.0F, 645, 1e-6F, a.data());
  portable_table.rms_norm(x.data(), w.data(), 0.0F, 645, 1e-6F, b.data());
  for (size_t i = 0; i < 645; ++i) ASSERT_NEAR(a[i], b[i], 1e-6F * std::abs(b[i]));
  kernels().gated(Activation::gelu_tanh, 0, x.data(), w.data(), 645, a.data());
  portable_table.gated(Activation::gelu_tanh, 0, x.data(), w.data(), 645, b.data());
  for (size_t i = 0; i < 645; ++i) ASSERT_NEAR(a[i], b[i], 1e-6F * std::abs(b[i]) + 1e-9F);
}

}  // namespace
}  // namespace sluice::kernels
