#include "sluice/nn/moe.h"

#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

std::shared_ptr<const ops::Experts> load_experts(const Config& c, const Weights& w) {
  const int64_t n = c.n_experts;
  const int64_t inner = c.moe_intermediate_size;
  auto experts = std::make_shared<ops::Experts>();
  experts->gate = w["gate_proj"].experts(n, inner, c.hidden_size);
  experts->up = w["up_proj"].experts(n, inner, c.hidden_size);
  experts->down = w["down_proj"].experts(n, c.hidden_size, inner);
  experts->gate_bias = w["gate_proj"].optional_expert_vectors("bias", n, inner);
  experts->up_bias = w["up_proj"].optional_expert_vectors("bias", n, inner);
  experts->down_bias = w["down_proj"].optional_expert_vectors("bias", n, c.hidden_size);
  experts->activation = c.activation;
  experts->limit = c.activation_limit;
  return experts;
}

}  // namespace

SparseMlp::SparseMlp(const Config& c, const Weights& w, BlockNorms norms)
    : norms_(std::move(norms)),
      router_(w["gate"], c.hidden_size, c.n_experts),
      spec_(c.router),
      experts_(load_experts(c, w["experts"])) {
  if (c.shared_expert_intermediate_size > 0) {
    shared_.emplace(c, w["shared_expert"], c.shared_expert_intermediate_size);
    shared_gate_.emplace(w["shared_expert_gate"], c.hidden_size, 1);
  }
}

mx::array SparseMlp::operator()(const mx::array& x, const Step& step) const {
  const mx::array h = norms_.before(x, step);
  const ops::Routing routing = ops::route(step.context, router_(h, step), spec_);
  mx::array y = ops::moe(step.context, h, routing, experts_);
  if (shared_)
    y = ops::add_sigmoid_gated(step.context, y, (*shared_gate_)(h, step), (*shared_)(h, step));
  return ops::add(step.context, norms_.after(y, step), x);
}

FeedForward::FeedForward(const Config& c, const Weights& w, BlockNorms norms, int64_t layer) {
  const bool sparse =
      c.n_experts > 0 && (c.layer_is_moe.empty() || c.layer_is_moe[static_cast<size_t>(layer)]);
  if (sparse) {
    sparse_.emplace(c, w, std::move(norms));
  } else {
    dense_.emplace(c, w, std::move(norms));
  }
}

}  // namespace sluice::nn
