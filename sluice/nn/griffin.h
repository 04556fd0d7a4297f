#pragma once

#include "sluice/nn/demands.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/step.h"
#include "sluice/nn/weights.h"
#include "sluice/ops/per_head.h"
#include "sluice/ops/recurrent.h"
#include "sluice/ops/scan.h"

namespace sluice::nn {

/// Griffin's recurrent block (De et al. 2024, arXiv:2402.19427) with its norms and residual: u = linear_x(pre(x)) through a
/// causal convolution; its real-gated linear recurrent unit, whose gates see a head each; times gelu(linear_y(pre(x))),
/// linear_out. The files tell how wide it is and how many taps the convolution has.
class Griffin {
 public:
  /// w: the module, which has linear_x.
  Griffin(const Config& c, const Weights& w, BlockNorms norms, Demands& demands);

  /// x: [T, hidden_size]; returns the same shape. Moves the sequences' states on.
  mx::array operator()(const mx::array& x, const Step& step) const;

 private:
  BlockNorms norms_;
  std::vector<ops::Projection> in_;  // x, y
  std::shared_ptr<const ops::CausalConvSpec> conv_;
  std::shared_ptr<const ops::PerHead> input_gate_, recurrent_gate_;
  std::shared_ptr<const ops::GatedRecurrenceSpec> recurrence_;
  ops::Projection out_;
  size_t conv_slot_, state_slot_;
};

}  // namespace sluice::nn
