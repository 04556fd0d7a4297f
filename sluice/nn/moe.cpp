#include "sluice/nn/moe.h"

#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

ops::Experts load_experts(const Config& c, const Weights& w) {
  const int64_t n = c.n_experts;
  const int64_t inner = c.moe_intermediate_size;
  return {
      .gate = w["gate_proj"].experts(n, inner, c.hidden_size),
      .up = w["up_proj"].experts(n, inner, c.hidden_size),
      .down = w["down_proj"].experts(n, c.hidden_size, inner),
      .gate_bias = w["gate_proj"].optional_expert_vectors("bias", n, inner),
      .up_bias = w["up_proj"].optional_expert_vectors("bias", n, inner),
      .down_bias = w["down_proj"].optional_expert_vectors("bias", n, c.hidden_size),
      .activation = {c.activation, c.activation_limit},
  };
}

}  // namespace

SparseMlp::SparseMlp(const Config& c, const Weights& w, BlockNorms norms, int64_t layer) {
  if (c.shared_expert_intermediate_size > 0) {
    shared_ = gated_mlp(c, w["shared_expert"], c.shared_expert_intermediate_size,
                        {.pre = norms.pre, .post = {}});
    shared_gate_ = {linear(w["shared_expert_gate"], c.hidden_size, 1)};
  }
  spec_ = std::make_shared<const ops::MoeSpec>(ops::MoeSpec{
      .layer = static_cast<int>(layer),
      .pre = std::move(norms.pre),
      .post = std::move(norms.post),
      .router = linear(w["gate"], c.hidden_size, c.n_experts),
      .routing = c.router,
      .experts = load_experts(c, w["experts"]),
  });
}

mx::array SparseMlp::operator()(const mx::array& x, const Step& step) const {
  if (!shared_) return ops::moe(step.context, x, spec_, true, step.moe_layers, step.followed);
  const mx::array routed = ops::moe(step.context, x, spec_, false, step.moe_layers, step.followed);
  const mx::array gate = ops::project(step.context, x, spec_->pre, shared_gate_)[0];
  const mx::array shared = ops::gated_mlp(step.context, x, shared_, false);
  return ops::add(step.context, ops::add_sigmoid_gated(step.context, routed, gate, shared), x);
}

FeedForward::FeedForward(const Config& c, const Weights& w, BlockNorms norms, int64_t layer) {
  const bool sparse =
      c.n_experts > 0 && (c.layer_is_moe.empty() || c.layer_is_moe[static_cast<size_t>(layer)]);
  if (sparse) {
    sparse_.emplace(c, w, std::move(norms), layer);
  } else {
    dense_.emplace(c, w, std::move(norms));
  }
}

}  // namespace sluice::nn
