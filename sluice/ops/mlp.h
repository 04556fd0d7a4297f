#pragma once

#include "sluice/ops/gated_part.h"
#include "sluice/ops/linear.h"

namespace sluice::ops {

/// A gated feed-forward block; where gate has no rows, one without: end(down(act(gate(pre(x))) * up(pre(x)))), the norms optional.
struct GatedMlpSpec {
  std::optional<Norm> pre;
  BlockEnd end;
  Projection gate, up, down;
  GatedActivation activation;
};

/// The block's output, plus x when `residual`. x: float32 [T, hidden_size].
mx::array gated_mlp(const Context& context, const mx::array& x,
                    std::shared_ptr<const GatedMlpSpec> spec, bool residual);

}  // namespace sluice::ops
