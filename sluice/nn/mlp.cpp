#include "sluice/nn/mlp.h"

#include "sluice/base/error.h"

namespace sluice::nn {
namespace {

/// Norms of a block whose projections all give `factor` times as much.
void scale_input(BlockNorms& norms, float factor) {
  std::vector<float> weight = *norms.pre->weight;
  for (float& value : weight) value = (value + norms.pre->weight_offset) * factor;
  norms.pre->weight = std::make_shared<const std::vector<float>>(std::move(weight));
  norms.pre->weight_offset = 0;
}

}  // namespace

std::shared_ptr<const ops::GatedMlpSpec> gated_mlp(const Config& c, const MlpConfig& mlp,
                                                   const Weights& w, BlockNorms norms,
                                                   Demands& demands) {
  const int64_t n = mlp.intermediate_size;
  norms.scale *= mlp.out_scale;
  if (mlp.gate_scale != 1) {  // of gate and up both, and down takes up's back
    scale_input(norms, mlp.gate_scale);
    norms.scale /= mlp.gate_scale;
    if (w["up_proj"].has("bias") || w["down_proj"].has("bias"))
      fail(ErrorKind::unsupported, "{}: biases with a scaled gate are not supported", w.path());
  }
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
