#include "sluice/nn/moe.h"

#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

/// Rows begin, begin + 2, ... of each expert's.
std::vector<residency::Weight> every_second(std::vector<residency::Weight> stack, int64_t begin) {
  for (residency::Weight& weight : stack) weight = weight.select_rows(begin, weight.rows() / 2, 2);
  return stack;
}

std::vector<ops::Vector> every_second(std::vector<ops::Vector> vectors, int64_t begin, int64_t n) {
  for (ops::Vector& vector : vectors) vector = part(vector, begin, n, 2);
  return vectors;
}

/// gate and up each a stack, or their rows interleaved in one (gpt-oss as published).
ops::Experts load_experts(const Config& c, const Weights& w) {
  const int64_t n = c.n_experts;
  const int64_t inner = c.moe_intermediate_size;
  ops::Experts experts;
  experts.activation = {c.activation, c.activation_limit};
  if (constexpr const char* kBoth = "gate_up_interleaved"; w[kBoth].has()) {
    const auto both = w.stack(kBoth, n, 2 * inner, c.hidden_size);
    experts.gate = every_second(both, 0);
    experts.up = every_second(both, 1);
    const auto biases = w.optional_vectors("gate_up_interleaved.bias", n, 2 * inner);
    experts.gate_bias = every_second(biases, 0, inner);
    experts.up_bias = every_second(biases, 1, inner);
  } else {
    experts.gate = w.stack("gate_proj", n, inner, c.hidden_size);
    experts.up = w.stack("up_proj", n, inner, c.hidden_size);
    experts.gate_bias = w.optional_vectors("gate_proj.bias", n, inner);
    experts.up_bias = w.optional_vectors("up_proj.bias", n, inner);
  }
  experts.down = w.stack("down_proj", n, c.hidden_size, inner);
  experts.down_bias = w.optional_vectors("down_proj.bias", n, c.hidden_size);
  return experts;
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
  if (!shared_) return ops::moe(step.context, x, spec_, true, step.moe_layers, step.experts);
  const mx::array routed = ops::moe(step.context, x, spec_, false, step.moe_layers, step.experts);
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
