#include "sluice/nn/norm.h"

namespace sluice::nn {

ops::Vector ones(int64_t n) {
  return std::make_shared<const std::vector<float>>(static_cast<size_t>(n), 1.0F);
}

ops::Norm norm(const Weights& w, const Config& c) {
  const ops::Vector weight = c.unit_norms ? ones(c.hidden_size) : w["weight"].vector(c.hidden_size);
  if (!c.centered_norms) return {weight, c.norm_weight_offset, c.rms_norm_eps};
  std::vector<float> shifted = *weight;
  for (float& value : shifted) value += c.norm_weight_offset;
  return {.weight = std::make_shared<const std::vector<float>>(std::move(shifted)),
          .weight_offset = 0,
          .eps = c.rms_norm_eps,
          .centered = true,
          .bias = w["bias"].optional_vector(c.hidden_size)};
}

std::optional<ops::Norm> scaled(std::optional<ops::Norm> norm, float factor) {
  if (!norm) return norm;
  std::vector<float> weight = *norm->weight;
  for (float& value : weight) value = (value + norm->weight_offset) * factor;
  norm->weight = std::make_shared<const std::vector<float>>(std::move(weight));
  norm->weight_offset = 0;
  return norm;
}

}  // namespace sluice::nn
