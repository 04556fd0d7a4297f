#pragma once

#include <optional>

#include "sluice/nn/step.h"

namespace sluice::nn {

/// Rotary position embedding (Su et al. 2021, arXiv:2104.09864) and its stretched forms: linear
/// (Chen et al. 2023, arXiv:2306.15595), dynamic NTK, Llama 3's, YaRN (Peng et al. 2023,
/// arXiv:2309.00071), LongRoPE (Ding et al. 2024, arXiv:2402.13753); as mlx-lm 0.32.2 rope_utils.py.
class Rope {
 public:
  /// Throws Error(bad_model) when the numbers make no sense (odd dims, wrong count of divisors).
  explicit Rope(RopeConfig config);

  /// Radians by which pair `pair` of a token at `position` is rotated.
  double angle(int64_t position, int64_t pair) const;
  /// What the rotated elements are multiplied by.
  double magnitude() const { return magnitude_; }

  /// cos and sin for the step's tokens, [2, T, dims / 2], or nothing for layers without RoPE.
  std::optional<mx::array> angles(const Step& step) const;
  bool interleaved() const { return config_.interleaved; }

 private:
  RopeConfig config_;
  std::vector<double> inverse_frequencies_;  // [dims / 2]
  double magnitude_ = 1;
};

/// What each token's queries are multiplied by.
std::vector<float> factors(const PositionScale& scale, const std::vector<int64_t>& positions);

}  // namespace sluice::nn
