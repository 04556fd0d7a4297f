#pragma once

#include <vector>

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
/// files: gate first (gate_up_proj), up first (up_gate_proj), or row by row (gate_up_interleaved).
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

/// Gated by gelu_tanh of what gates have above a bound: the config's cutoff (Gemma 3n).
class SparseGelu {
 public:
  SparseGelu(const Config& c, const MlpConfig& mlp, const Weights& w, BlockNorms norms,
             Demands& demands);
  mx::array operator()(const mx::array& x, const Step& step) const;

 private:
  BlockNorms norms_;
  float cutoff_;
  std::vector<ops::Projection> in_;  // gate, up
  ops::Projection down_;
};

}  // namespace sluice::nn
