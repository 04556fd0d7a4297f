#pragma once

#include "sluice/nn/demands.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/step.h"
#include "sluice/nn/weights.h"
#include "sluice/ops/recurrent.h"

namespace sluice::nn {

/// The depthwise convolution at `w`: its weight [n_channels, 1, n_taps] (as published), [n_channels, n_taps, 1] (mlx-lm),
/// [n_channels, n_taps] or [1, n_channels, 1, n_taps] (GGUF), its bias where the files have one.
ops::CausalConvSpec load_conv(const Weights& w, int64_t n_channels, int64_t n_taps);

/// Gated short convolution with its norms and residual (LFM2, arXiv:2511.23404): [B | C | x] = in_proj(pre(x)),
/// out_proj(C * conv(B * x)).
class ShortConv {
 public:
  /// w: "...conv".
  ShortConv(const Config& c, const ShortConvConfig& s, const Weights& w, BlockNorms norms,
            Demands& demands);

  /// x: [T, hidden_size]; returns the same shape. Moves the sequences' states on.
  mx::array operator()(const mx::array& x, const Step& step) const;

 private:
  BlockNorms norms_;
  std::vector<ops::Projection> in_;  // B, C, x
  std::shared_ptr<const ops::CausalConvSpec> conv_;
  ops::Projection out_;
  size_t slot_;
};

}  // namespace sluice::nn
