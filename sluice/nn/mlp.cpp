#include "sluice/nn/mlp.h"

namespace sluice::nn {

std::shared_ptr<const ops::GatedMlpSpec> gated_mlp(const Config& c, const MlpConfig& mlp,
                                                   const Weights& w, BlockNorms norms,
                                                   Demands& demands) {
  const int64_t n = mlp.intermediate_size;
  demands.add_mlp(n);
  const Weights fused = w["gate_up_proj"];
  const bool one = fused.has();
  return std::make_shared<const ops::GatedMlpSpec>(ops::GatedMlpSpec{
      .pre = norms.pre,
      .end = norms.end(),
      .gate = !mlp.is_gated ? ops::Projection{}
              : one         ? linear_part(fused, c.hidden_size, 2 * n, 0, n)
                            : linear(w["gate_proj"], c.hidden_size, n),
      .up = one ? linear_part(fused, c.hidden_size, 2 * n, n, n)
                : linear(w["up_proj"], c.hidden_size, n),
      .down = linear(w["down_proj"], n, c.hidden_size),
      .activation = {mlp.activation, mlp.activation_limit},
  });
}

}  // namespace sluice::nn
