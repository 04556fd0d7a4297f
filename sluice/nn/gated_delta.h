#pragma once

#include "sluice/nn/demands.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/step.h"
#include "sluice/nn/weights.h"
#include "sluice/ops/recurrent.h"

namespace sluice::nn {

/// Gated delta net (Yang et al. 2024, arXiv:2412.06464) with its norms and residual, as Qwen3-Next and Qwen3.5 have it:
/// queries, keys and values through a causal convolution and SiLU, the gated delta rule, a norm of each head's result
/// gated by SiLU, out_proj. What the files have decides: in_proj_qkv, z, b, a apart, or qkvz and ba fused per key head.
class GatedDelta {
 public:
  /// w: "...linear_attn".
  GatedDelta(const Config& c, const GatedDeltaConfig& g, const Weights& w, BlockNorms norms,
             Demands& demands);

  /// x: [T, hidden_size]; returns the same shape. Moves the sequences' states on.
  mx::array operator()(const mx::array& x, const Step& step) const;

 private:
  struct Projected {
    mx::array qkv, z, a, b;
  };
  Projected project(const mx::array& x, const Step& step) const;

  BlockNorms norms_;
  GatedDeltaConfig config_;
  std::vector<ops::Projection> in_;  // qkv, z, a, b; the first two, or the last two, may be one
  bool qkvz_fused_, ba_fused_;
  std::shared_ptr<const ops::CausalConvSpec> conv_;
  std::shared_ptr<const ops::GatedDeltaSpec> delta_;
  ops::Norm norm_;
  ops::Projection out_;
  size_t conv_slot_, delta_slot_;
};

}  // namespace sluice::nn
