#pragma once

#include "sluice/nn/linear.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/step.h"
#include "sluice/ops/mlp.h"

namespace sluice::nn {

/// The weights of a gated feed-forward block of intermediate_size with its norms. gate and up may be fused in the
/// files (gate_up_proj).
std::shared_ptr<const ops::GatedMlpSpec> gated_mlp(const Config& c, const Weights& w,
                                                   int64_t intermediate_size, BlockNorms norms);

/// A layer's dense feed-forward block with its norms and residual.
class GatedMlp {
 public:
  GatedMlp(const Config& c, const Weights& w, BlockNorms norms)
      : spec_(gated_mlp(c, w, c.intermediate_size, std::move(norms))) {}
  mx::array operator()(const mx::array& x, const Step& step) const {
    return ops::gated_mlp(step.context, x, spec_, true);
  }

 private:
  std::shared_ptr<const ops::GatedMlpSpec> spec_;
};

}  // namespace sluice::nn
