#pragma once

#include <optional>
#include <vector>

#include "sluice/nn/demands.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/step.h"

namespace sluice::models {

/// A vector for each layer and token, from the token itself and from its embedding (Gemma 3n, small Gemma 4). Tokens that the
/// table lacks have the first one's.
class PerLayerInputs {
 public:
  /// w: "model".
  PerLayerInputs(const nn::Config& c, const nn::Weights& w, nn::Demands& demands);

  /// [T, n_layers * width]; none where the model has none.
  std::optional<mx::array> operator()(const mx::array& x, const nn::Step& step) const;

 private:
  int64_t width_ = 0;
  bool lacks_some_ = false;
  residency::Weight table_;
  std::vector<ops::Projection> projection_;  // one, or none
  ops::Norm norm_;
  float scale_ = 1;
};

/// [T, width]: of what PerLayerInputs gave, layer i's. Throws Error(bad_model) where it has not so many.
mx::array input_of_layer(const nn::Step& step, const std::optional<mx::array>& inputs, int64_t i,
                         int64_t width);

}  // namespace sluice::models
