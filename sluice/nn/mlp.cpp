#include "sluice/nn/mlp.h"

#include <cmath>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/ops/streams.h"

namespace sluice::nn {
namespace {

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
  return {.activation = mlp.activation,
          .limit = mlp.activation_limit,
          .clamp = mlp.clamp,
          .bound = mlp.bound,
          .situ = mlp.situ,
          .situ_linear = mlp.situ_linear,
          .xielu = of_files ? of_files : mlp.xielu};
}

std::shared_ptr<const ops::GatedMlpSpec> gated_mlp(const Config& c, const MlpConfig& mlp,
                                                   const Weights& w, BlockNorms norms,
                                                   Demands& demands) {
  const int64_t n = mlp.intermediate_size;
  norms.scale *= mlp.out_scale;
  if (mlp.gate_scale != 1) {  // of gate and up both, and down takes up's back
    norms.pre = scaled(norms.pre, mlp.gate_scale);
    norms.scale /= mlp.gate_scale;
    if (w["up_proj"].has("bias") || w["down_proj"].has("bias"))
      fail(ErrorKind::unsupported, "{}: biases with a scaled gate are not supported", w.path());
  }
  demands.add_mlp(n);
  if (w["down_proj"].rotated_block() > 0) demands.add_rows(3 * n, n);  // one after the other
  if (const Weights both = w["gate_up_interleaved"]; both.has()) {
    const residency::Weight rows = both.matrix(2 * n, c.hidden_size);
    const ops::Vector bias = both["bias"].optional_vector(2 * n);
    return std::make_shared<const ops::GatedMlpSpec>(ops::GatedMlpSpec{
        .pre = norms.pre,
        .end = norms.end(),
        .gate = {rows.select_rows(0, n, 2), part(bias, 0, n, 2)},
        .up = {rows.select_rows(1, n, 2), part(bias, 1, n, 2)},
        .down = linear(w["down_proj"], n, c.hidden_size),
        .activation = activation_of(mlp, w["act_fn"]),
    });
  }
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

SparseGelu::SparseGelu(const Config& c, const MlpConfig& mlp, const Weights& w, BlockNorms norms,
                       Demands& demands)
    : norms_(std::move(norms)),
      cutoff_(*mlp.cutoff),
      in_{linear(w["gate_proj"], c.hidden_size, mlp.intermediate_size),
          linear(w["up_proj"], c.hidden_size, mlp.intermediate_size)},
      down_(linear(w["down_proj"], mlp.intermediate_size, c.hidden_size)) {
  demands.add_rows(3 * mlp.intermediate_size, mlp.intermediate_size);
}

mx::array SparseGelu::operator()(const mx::array& x, const Step& step) const {
  const std::vector<mx::array> in = ops::project(step.context, x, norms_.pre, in_);
  const mx::array inner = ops::sparse_gelu(step.context, in[0], in[1], cutoff_);
  return ops::project_onto(step.context, inner, down_, norms_.end(), x);
}

}  // namespace sluice::nn
