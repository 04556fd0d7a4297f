#pragma once

#include "sluice/nn/demands.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/step.h"
#include "sluice/nn/weights.h"
#include "sluice/ops/recurrent.h"

namespace sluice::nn {

/// Mamba-2 (Dao & Gu 2024, arXiv:2405.21060) with its norms and residual: [z | x, B, C | dt] = in_proj(pre(x)); x, B and C
/// through a causal convolution and SiLU; the recurrence; its result gated by SiLU(z), normed or not, out_proj.
class Mamba2 {
 public:
  /// w: the module, which has in_proj.
  Mamba2(const Config& c, const Mamba2Config& m, const Weights& w, BlockNorms norms,
         Demands& demands);

  /// x: [T, hidden_size]; returns the same shape. Moves the sequences' states on.
  mx::array operator()(const mx::array& x, const Step& step) const { return (*this)(x, x, step); }
  /// The same added to another residual.
  mx::array operator()(const mx::array& x, const mx::array& residual, const Step& step) const;

 private:
  BlockNorms norms_;
  int64_t n_norm_groups_;
  std::array<float, 5> scales_;
  std::vector<ops::Projection> in_;  // z, xBC, dt
  std::shared_ptr<const ops::CausalConvSpec> conv_;
  std::shared_ptr<const ops::Mamba2Spec> mamba_;
  ops::Norm norm_;
  ops::Projection out_;
  size_t conv_slot_, mamba_slot_;
};

/// -exp(A_log) at `w`, which files of ggml have already as A, of some models without its minus. [n]
ops::Vector load_decay(const Weights& w, int64_t n);

}  // namespace sluice::nn
