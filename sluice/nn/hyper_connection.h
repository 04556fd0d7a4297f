#pragma once

#include <vector>

#include "sluice/nn/demands.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/step.h"
#include "sluice/ops/streams.h"

namespace sluice::nn {

/// Around a block of a model with several residual streams (hyper-connections, Zhu et al. 2024, arXiv:2409.19606): how its result
/// is spread over them, and they over each other. What multiplies the streams for a block's input the mix before it says.
class HyperConnection {
 public:
  /// w: "...attn_hc" or "...ffn_hc".
  HyperConnection(const Config& c, const Weights& w, Demands& demands);

  /// x: [T, n * hidden_size], the streams side by side.
  mx::array mix(const mx::array& x, const Step& step) const;

 private:
  ops::Streams streams_;
  ops::Norm norm_;
  std::vector<ops::Projection> projection_;  // one
  ops::HyperSpec spec_;
};

}  // namespace sluice::nn
