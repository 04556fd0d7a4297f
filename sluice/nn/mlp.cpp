#include "sluice/nn/mlp.h"

#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

std::vector<Linear> load_gate_up(const Config& c, const Weights& w, int64_t n) {
  const Weights fused = w["gate_up_proj"];
  if (fused.has_matrix()) {
    return {Linear::part(fused, c.hidden_size, 2 * n, 0, n),
            Linear::part(fused, c.hidden_size, 2 * n, n, n)};
  }
  return {Linear(w["gate_proj"], c.hidden_size, n), Linear(w["up_proj"], c.hidden_size, n)};
}

}  // namespace

GatedUnit::GatedUnit(const Config& c, const Weights& w, int64_t intermediate_size)
    : gate_up_(load_gate_up(c, w, intermediate_size)),
      down_(w["down_proj"], intermediate_size, c.hidden_size),
      activation_(c.activation),
      limit_(c.activation_limit) {}

mx::array GatedUnit::operator()(const mx::array& x, const Step& step) const {
  return down_(
      ops::gated(step.context, activation_, limit_, gate_up_[0](x, step), gate_up_[1](x, step)),
      step);
}

mx::array GatedMlp::operator()(const mx::array& x, const Step& step) const {
  return ops::add(step.context, norms_.after(unit_(norms_.before(x, step), step), step), x);
}

}  // namespace sluice::nn
