#include "sluice/nn/mlp.h"

#include <cmath>

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

/// xIELU's slopes are trained: the files have them, before softplus.
std::optional<ops::Xielu> xielu_of(const Weights& w) {
  if (!w.has("alpha_p")) return std::nullopt;
  const auto value = [&](const char* name, float otherwise) {
    if (!w.has(name)) return otherwise;
    const ops::Vector found = w[name].values(1);
    return found->empty() ? otherwise : found->front();
  };
  return xielu(value("alpha_p", 0), value("alpha_n", 0), value("beta", 0.5F), value("eps", -1e-6F));
}

}  // namespace

ops::Xielu xielu(float alpha_p, float alpha_n, float beta, float eps) {
  const auto softplus = [](float x) { return std::log1p(std::exp(x)); };
  return {.p = softplus(alpha_p), .n = beta + softplus(alpha_n), .beta = beta, .eps = eps};
}

ops::GatedActivation activation_of(const MlpConfig& mlp, const Weights& w) {
  const std::optional<ops::Xielu> of_files = xielu_of(w);
  return {mlp.activation, mlp.activation_limit, mlp.clamp, of_files ? of_files : mlp.xielu};
}

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
  const bool up_first = w["up_gate_proj"].has();
  const Weights fused = w[up_first ? "up_gate_proj" : "gate_up_proj"];
  const bool one = fused.has();
  return std::make_shared<const ops::GatedMlpSpec>(ops::GatedMlpSpec{
      .pre = norms.pre,
      .end = norms.end(),
      .gate = !mlp.is_gated ? ops::Projection{}
              : one         ? linear_part(fused, c.hidden_size, 2 * n, up_first ? n : 0, n)
                            : linear(w["gate_proj"], c.hidden_size, n),
      .up = one ? linear_part(fused, c.hidden_size, 2 * n, up_first ? 0 : n, n)
                : linear(w["up_proj"], c.hidden_size, n),
      .down = linear(w["down_proj"], n, c.hidden_size),
      .activation = activation_of(mlp, w["act_fn"]),
  });
}

}  // namespace sluice::nn
