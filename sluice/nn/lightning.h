#pragma once

#include "sluice/nn/demands.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/rope.h"
#include "sluice/nn/step.h"
#include "sluice/nn/weights.h"
#include "sluice/ops/recurrent.h"

namespace sluice::nn {

/// Lightning attention (Qin et al. 2024, arXiv:2401.04658) with its norms and residual, as Ling and Ring have it: queries
/// and keys normed per head where the files have q_norm and k_norm, and rotated; the recurrence; groups of its result
/// normed, times sigmoid(g_proj(pre(x))), o_proj.
class LightningAttention {
 public:
  /// w: "...self_attn".
  LightningAttention(const Config& c, const LightningConfig& a, const Weights& w, BlockNorms norms,
                     Demands& demands);

  /// x: [T, hidden_size]; returns the same shape. Moves the sequences' states on.
  mx::array operator()(const mx::array& x, const Step& step) const;

 private:
  BlockNorms norms_;
  std::vector<ops::Projection> in_;  // q, k, v, gate
  ops::HeadTransform query_, key_;
  Rope rope_;
  std::shared_ptr<const ops::LinearAttentionSpec> spec_;
  ops::Norm norm_;
  int64_t n_norm_groups_;
  ops::Projection out_;
  size_t slot_;
};

}  // namespace sluice::nn
