#include "sluice/nn/mlp.h"

namespace sluice::nn {

std::shared_ptr<const ops::GatedMlpSpec> gated_mlp(const Config& c, const Weights& w,
                                                   int64_t intermediate_size, BlockNorms norms) {
  const int64_t n = intermediate_size;
  const Weights fused = w["gate_up_proj"];
  const bool one = fused.has();
  return std::make_shared<const ops::GatedMlpSpec>(ops::GatedMlpSpec{
      .pre = std::move(norms.pre),
      .post = std::move(norms.post),
      .gate = one ? linear_part(fused, c.hidden_size, 2 * n, 0, n)
                  : linear(w["gate_proj"], c.hidden_size, n),
      .up = one ? linear_part(fused, c.hidden_size, 2 * n, n, n)
                : linear(w["up_proj"], c.hidden_size, n),
      .down = linear(w["down_proj"], n, c.hidden_size),
      .activation = {c.activation, c.activation_limit},
  });
}

}  // namespace sluice::nn
