#pragma once

#include <optional>

#include "sluice/kernels/kernels.h"

namespace sluice::ops {

/// xIELU (Huang & Schlag 2024, arXiv:2411.13010), whose slopes are trained: p x^2 + beta x above 0, else
/// (expm1(min(x, eps)) - x) n + beta x.
struct Xielu {
  float p = 0, n = 0, beta = 0.5F, eps = -1e-6F;
};

/// What joins the two projections of a gated linear unit (Shazeer 2020, arXiv:2002.05202), or what the only one goes through.
struct GatedActivation {
  kernels::Activation activation = kernels::Activation::silu;
  float limit = 0.0F;  ///< swiglu_clipped's bound
  /// Above 0: min(act(gate), clamp) * clip(up, -clamp, clamp).
  float clamp = 0.0F;
  /// Above 0: act(min(gate, bound)) * clip(up, -bound, bound).
  float bound = 0.0F;
  /// SiTU (Kimi K3), above 0: situ tanh(gate / situ) sigmoid(gate) * up, where up, if situ_linear is above 0, is
  /// situ_linear tanh(up / situ_linear) first.
  float situ = 0.0F, situ_linear = 0.0F;
  std::optional<Xielu> xielu = std::nullopt;  ///< in place of `activation`; not for a gated unit
};

}  // namespace sluice::ops
