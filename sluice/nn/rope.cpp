#include "sluice/nn/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "sluice/base/error.h"
#include "sluice/ops/rope.h"

namespace sluice::nn {
namespace {

using Kind = RopeConfig::Kind;
constexpr double kTau = 2 * std::numbers::pi;

/// Llama 3.1: long wavelengths are slowed by `factor`, short ones kept, those between interpolated.
double llama3_inverse(const RopeConfig& c, double inverse) {
  const double wavelength = kTau / inverse;
  const double low = static_cast<double>(c.original_positions) / c.low_freq_factor;
  const double high = static_cast<double>(c.original_positions) / c.high_freq_factor;
  if (wavelength > low) return inverse / c.factor;
  if (wavelength <= high) return inverse;
  const double smooth =
      (static_cast<double>(c.original_positions) / wavelength - c.low_freq_factor) /
      (c.high_freq_factor - c.low_freq_factor);
  return inverse * ((1 - smooth) / c.factor + smooth);
}

/// YaRN, section 3.2: pairs that turn more than beta_fast times in the trained context keep their
/// frequency, those below beta_slow are divided by the factor, a ramp lies between.
std::vector<double> yarn_inverses(const RopeConfig& c, std::vector<double> inverses) {
  const auto dims = static_cast<double>(c.dims);
  const auto boundary = [&](double turns) {
    return dims * std::log(static_cast<double>(c.original_positions) / (turns * kTau)) /
           (2 * std::log(c.theta));
  };
  const double first = boundary(c.beta_fast), last = boundary(c.beta_slow);
  const double low = std::max(c.truncate ? std::floor(first) : first, 0.0);
  double high = std::min(c.truncate ? std::ceil(last) : last, dims - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < inverses.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    inverses[i] = inverses[i] * (1 - ramp) + inverses[i] / c.factor * ramp;
  }
  return inverses;
}

double yarn_magnitude(const RopeConfig& c) {
  if (c.attention_factor != 0) return c.attention_factor;
  const auto scale = [&](double m) {
    return c.factor <= 1 ? 1.0 : 0.1 * m * std::log(c.factor) + 1;
  };
  return scale(c.mscale) / scale(c.mscale_all_dim);
}

double longrope_magnitude(const RopeConfig& c) {
  if (c.attention_factor != 0) return c.attention_factor;
  return c.factor <= 1 ? 1
                       : std::sqrt(1 + std::log(c.factor) /
                                           std::log(static_cast<double>(c.original_positions)));
}

}  // namespace

Rope::Rope(RopeConfig config) : config_(std::move(config)) {
  if (config_.kind == Kind::none) return;
  const RopeConfig& c = config_;
  const auto pairs = static_cast<size_t>(c.dims / 2);
  const bool needs_original =
      c.kind == Kind::llama3 || c.kind == Kind::yarn || c.kind == Kind::longrope;
  if (c.dims <= 0 || c.dims % 2 != 0 || !(c.theta > 0) || !(c.factor > 0) ||
      (needs_original && c.original_positions <= 1) ||
      (c.kind == Kind::dynamic && c.max_positions <= 0) ||
      (!c.divisors.empty() && c.divisors.size() != pairs)) {
    fail(ErrorKind::bad_model,
         "rope: {} dims, theta {}, factor {}, original context {}, {} divisors make no rotary "
         "embedding",
         c.dims, c.theta, c.factor, c.original_positions, c.divisors.size());
  }
  for (size_t i = 0; i < pairs; ++i) {
    double inverse = std::pow(c.theta, -2.0 * static_cast<double>(i) / static_cast<double>(c.dims));
    if (!c.divisors.empty()) inverse /= c.divisors[i];
    if (c.kind == Kind::linear) inverse /= c.factor;
    if (c.kind == Kind::llama3) inverse = llama3_inverse(c, inverse);
    inverse_frequencies_.push_back(inverse);
  }
  if (c.kind == Kind::yarn) {
    inverse_frequencies_ = yarn_inverses(c, inverse_frequencies_);
    magnitude_ = yarn_magnitude(c);
  }
  if (c.kind == Kind::longrope) magnitude_ = longrope_magnitude(c);
}

double Rope::angle(int64_t position, int64_t pair) const {
  position -= position % config_.stride;
  const auto p = static_cast<double>(config_.inverse ? -position : position);
  if (config_.kind == Kind::dynamic && position >= config_.max_positions) {
    // The base grows with the context a token has, so a token's angle does not depend on what comes after it
    // (mlx-lm uses the length of the whole pass, and its chunked prefill differs from its single pass).
    const auto dims = static_cast<double>(config_.dims);
    const double stretch = config_.factor * (p + 1) / static_cast<double>(config_.max_positions) -
                           (config_.factor - 1);
    const double base = config_.theta * std::pow(stretch, dims / (dims - 2));
    return p * std::pow(base, -2.0 * static_cast<double>(pair) / dims);
  }
  return p * inverse_frequencies_[static_cast<size_t>(pair)];
}

std::vector<float> factors(const PositionScale& scale, const std::vector<int64_t>& positions) {
  std::vector<float> factors;
  for (const int64_t position : positions) {
    const auto whole = static_cast<double>((position + scale.first) / scale.original);
    factors.push_back(static_cast<float>(1 + double{scale.beta} * std::log(1 + whole)));
  }
  return factors;
}

std::optional<mx::array> Rope::angles(const Step& step) const {
  if (config_.kind == Kind::none) return std::nullopt;
  for (const auto& [config, array] : step.angles) {
    if (config == config_) return array;
  }
  mx::array computed = ops::rope_angles(
      step.context, step.positions, config_.dims / 2, static_cast<float>(magnitude_),
      [this](int64_t position, int64_t pair) { return angle(position, pair); });
  step.angles.emplace_back(config_, computed);
  return computed;
}

}  // namespace sluice::nn
