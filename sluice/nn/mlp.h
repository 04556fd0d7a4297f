#pragma once

#include "sluice/nn/demands.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/step.h"
#include "sluice/ops/mlp.h"

namespace sluice::nn {

/// xIELU of slopes as they are stored, before softplus.
ops::Xielu xielu(float alpha_p, float alpha_n, float beta, float eps);
/// What the config says, or the files at `w`.
ops::GatedActivation activation_of(const MlpConfig& mlp, const Weights& w);

/// The weights of a gated feed-forward block with its norms. gate and up may be fused in the
/// files (gate_up_proj).
std::shared_ptr<const ops::GatedMlpSpec> gated_mlp(const Config& c, const MlpConfig& mlp,
                                                   const Weights& w, BlockNorms norms,
                                                   Demands& demands);

/// A layer's dense feed-forward block with its norms and residual.
class GatedMlp {
 public:
  GatedMlp(const Config& c, const MlpConfig& mlp, const Weights& w, BlockNorms norms,
           Demands& demands)
      : spec_(gated_mlp(c, mlp, w, std::move(norms), demands)) {}
  mx::array operator()(const mx::array& x, const Step& step) const {
    return ops::gated_mlp(step.context, x, spec_, true);
  }
  /// What the call would add to x.
  mx::array alone(const mx::array& x, const Step& step) const {
    return ops::gated_mlp(step.context, x, spec_, false);
  }

 private:
  std::shared_ptr<const ops::GatedMlpSpec> spec_;
};

}  // namespace sluice::nn
