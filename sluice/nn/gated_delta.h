#pragma once

#include "sluice/nn/demands.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/step.h"
#include "sluice/nn/weights.h"
#include "sluice/ops/recurrent.h"

namespace sluice::nn {

/// Gated delta net (Yang et al. 2024, arXiv:2412.06464) with its norms and residual, as Qwen3-Next and Qwen3.5 have it,
/// OLMo Hybrid and, with a decay for each element of a key, Kimi Linear (arXiv:2510.26692): queries, keys and values
/// through a causal convolution and SiLU, the gated delta rule, a norm of each head's result, gated, out_proj.
/// What the files have decides: in_proj_qkv, z, b, a apart; qkvz and ba fused per key head; q, k and v apart with a
/// convolution each; z and a through matrices of low rank, f_a and f_b, g_a and g_b.
class GatedDelta {
 public:
  /// w: the module.
  GatedDelta(const Config& c, const GatedDeltaConfig& g, const Weights& w, BlockNorms norms,
             Demands& demands);

  /// x: [T, hidden_size]; returns the same shape. Moves the sequences' states on.
  mx::array operator()(const mx::array& x, const Step& step) const { return (*this)(x, x, step); }
  /// The same with another residual.
  mx::array operator()(const mx::array& x, const mx::array& residual, const Step& step) const;

 private:
  struct Projected {
    mx::array qkv, z, a, b;
  };
  Projected project(const mx::array& x, const Step& step) const;
  Projected take_apart(const std::vector<mx::array>& in, const ops::Context& context) const;

  BlockNorms norms_;
  GatedDeltaConfig config_;
  std::vector<ops::Projection> in_;  // qkv or q, k, v; z, a, b; or fused: qkvz, then ba or a, b
  std::vector<ops::Projection> z_up_, a_up_;  // from a low rank: one, or none
  bool qkvz_fused_, ba_fused_;
  std::shared_ptr<const ops::CausalConvSpec> conv_;
  std::shared_ptr<const ops::GatedDeltaSpec> delta_;
  ops::Norm norm_;
  ops::Projection out_;
  size_t conv_slot_, delta_slot_;
};

}  // namespace sluice::nn
