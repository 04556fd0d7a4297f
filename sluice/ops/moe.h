#pragma once

#include <memory>
#include <span>
#include <vector>

#include "sluice/ops/gated_part.h"
#include "sluice/ops/linear.h"
#include "sluice/ops/router.h"

namespace sluice::ops {

/// The experts of one layer: gated MLPs, each projection a matrix per expert. Without any gate: MLPs that have none.
struct Experts {
  std::vector<residency::Weight> gate, up, down;
  std::vector<Vector> gate_bias, up_bias, down_bias;  ///< empty, or one per expert
  GatedActivation activation;
  /// What each gives, times these weights first, is normed without any: before it is weighed (Muse Spark).
  std::optional<Norm> result_norm = std::nullopt;
  bool weighs_input =
      false;  ///< a token's weight multiplies what its expert gets, not what it gives (Llama 4)
};

/// A sparse feed-forward block: end(sum over ranks r, ascending, of weight r * expert r (pre(x))), the norms optional.
struct MoeSpec {
  int layer = 0;
  std::optional<Norm> pre;
  std::optional<Norm> router_pre;  ///< the router's own, in place of pre
  BlockEnd end;
  Projection router;
  RouterSpec routing;
  Experts experts;
};

/// The sparse blocks of one step in the order in which they run, as its graph is built.
using MoeLayers = std::vector<std::shared_ptr<const MoeSpec>>;

/// How a step uses experts.
struct ExpertUse {
  residency::Use use = residency::Use::keep;  ///< what becomes of those that are read for it
  bool may_skip = false;  ///< a token may do without lesser ones, where the context says so
};

/// The block's output, plus x when `residual`. x: float32 [T, hidden_size]; latent: what experts get in place of pre(x),
/// and then the output's shape, without a residual. Tokens are sorted by expert, so that
/// each expert's weights are read once. Is appended to `layers`, where it finds the blocks after it: with Use::keep
/// their experts are foreseen.
mx::array moe(const Context& context, const mx::array& x, std::shared_ptr<const MoeSpec> spec,
              bool residual, const std::shared_ptr<MoeLayers>& layers, const ExpertUse& use,
              const std::optional<mx::array>& latent = std::nullopt);

}  // namespace sluice::ops
