#include "sluice/nn/moe.h"

#include <cmath>

#include "sluice/base/error.h"
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

/// Rows [begin, begin + n) of each expert's.
std::vector<residency::Weight> some_rows(std::vector<residency::Weight> stack, int64_t begin,
                                         int64_t n) {
  for (residency::Weight& weight : stack) weight = weight.select_rows(begin, n);
  return stack;
}

/// Of experts in NVFP4 whose gate and up are one matrix each: column `half` of the numbers that multiply their scales.
void multiply_scales(std::vector<residency::Weight>& stack, const Weights& w, int64_t half) {
  const auto n = static_cast<int64_t>(stack.size());
  if (const auto shape = w.shape("weight_scale_2"); shape.size() != 2 || shape[1] != 2) return;
  const ops::Vector scales = part(w["weight_scale_2"].tensor({{n, 2}}), half, n, 2);
  for (size_t i = 0; i < scales->size(); ++i) {
    const float scale = (*scales)[i];
    if (!std::isfinite(scale) || scale <= 0)
      fail(ErrorKind::bad_model,
           "{}: scales of expert {} are multiplied with {}, wanted more than 0", w.path(), i,
           scale);
    stack[i].matrix.global_scale = scale;
  }
}

}  // namespace

ops::Experts load_experts(const Config& c, const MoeConfig& moe, const Weights& w) {
  const int64_t n = moe.n_experts;
  const int64_t inner = moe.expert.intermediate_size;
  const int64_t width = moe.latent_size > 0 ? moe.latent_size : c.hidden_size;
  ops::Experts experts;
  experts.activation = activation_of(moe.expert, w["act_fn"]);
  experts.weighs_input = moe.weighs_input;
  if (const Weights of_result = w["post_expert_norm"]; of_result.has()) {
    std::vector<float> weight = *of_result["weight"].vector(width);
    for (float& value : weight) value += c.block_norm_offset;
    experts.result_norm = ops::Norm{std::make_shared<const std::vector<float>>(std::move(weight)),
                                    0, c.post_norm_eps};
  }
  if (constexpr const char* kBoth = "gate_up_interleaved"; w[kBoth].has()) {
    const auto both = w.stack(kBoth, n, 2 * inner, width);
    experts.gate = every_second(both, 0);
    experts.up = every_second(both, 1);
    const auto biases = w.optional_vectors("gate_up_interleaved.bias", n, 2 * inner);
    experts.gate_bias = every_second(biases, 0, inner);
    experts.up_bias = every_second(biases, 1, inner);
  } else if (!moe.expert.is_gated) {
    experts.up = w.stack("up_proj", n, inner, width);
    experts.up_bias = w.optional_vectors("up_proj.bias", n, inner);
  } else if (w["gate_up_proj"].has()) {
    const auto both = w.stack("gate_up_proj", n, 2 * inner, width);
    experts.gate = some_rows(both, 0, inner);
    experts.up = some_rows(both, inner, inner);
    multiply_scales(experts.gate, w["gate_up_proj"], 0);
    multiply_scales(experts.up, w["gate_up_proj"], 1);
  } else {
    experts.gate = w.stack("gate_proj", n, inner, width);
    experts.up = w.stack("up_proj", n, inner, width);
    experts.gate_bias = w.optional_vectors("gate_proj.bias", n, inner);
    experts.up_bias = w.optional_vectors("up_proj.bias", n, inner);
  }
  experts.down = w.stack("down_proj", n, width, inner);
  experts.down_bias = w.optional_vectors("down_proj.bias", n, width);
  return experts;
}

SparseMlp::SparseMlp(const Config& c, const MoeConfig& moe, const Weights& w, BlockNorms norms,
                     int64_t layer, Demands& demands)
    : end_(norms.end()) {
  if (moe.shared_intermediate_size > 0) {
    MlpConfig shared = moe.expert;
    shared.intermediate_size = moe.shared_intermediate_size;
    shared.clamp = moe.shared_clamp;
    shared_ = gated_mlp(c, shared, w["shared_expert"], {.pre = norms.pre, .post = {}}, demands);
    if (const Weights gate = w["shared_expert_gate"]; gate.has())
      shared_gate_ = {linear(gate, c.hidden_size, 1)};
    if (const Weights shares = w["coefficient"]; shares.has())
      shares_ = {linear(shares, c.hidden_size, 2)};
  }
  ops::RouterSpec routing = moe.router;
  if (const Weights bias = w["gate"]["e_score_correction_bias"]; bias.has())
    routing.choice_bias = bias.values(moe.n_experts + moe.router.n_identities);
  if (moe.latent_size > 0) {
    into_ = {linear(w["fc1_latent_proj"], c.hidden_size, moe.latent_size)};
    out_of_ = {linear(w["fc2_latent_proj"], moe.latent_size, c.hidden_size)};
    if (const Weights into = w["pre_expert_norm"]; into.has())
      into_norm_ =
          ops::Norm{into["weight"].vector(moe.latent_size), c.block_norm_offset, c.rms_norm_eps};
    if (const Weights of_latent = w["latent_norm"]; of_latent.has())
      latent_norm_ = ops::Norm{of_latent["weight"].vector(moe.latent_size), 0.0F, c.rms_norm_eps};
    demands.add_rows(2 * moe.latent_size + c.hidden_size, moe.latent_size);
  }
  demands.add_experts(moe.n_experts, routing.n_experts_per_tok, moe.expert.intermediate_size);
  spec_ = std::make_shared<const ops::MoeSpec>(ops::MoeSpec{
      .layer = static_cast<int>(layer),
      .pre = norms.pre,
      .router_pre = moe.router_scale == 1 ? std::nullopt : scaled(norms.pre, moe.router_scale),
      .end = adds_apart() ? ops::BlockEnd{} : norms.end(),
      .router = linear(w["gate"], c.hidden_size, moe.n_experts + moe.router.n_identities),
      .routing = std::move(routing),
      .experts = load_experts(c, moe, w["experts"]),
  });
}

mx::array SparseMlp::operator()(const mx::array& x, const Step& step) const {
  const ops::Context& context = step.context;
  if (!adds_apart()) return ops::moe(context, x, spec_, true, step.moe_layers, step.experts);
  return ops::add_block(context, alone(x, step), end_, x);
}

mx::array SparseMlp::alone(const mx::array& x, const Step& step) const {
  const ops::Context& context = step.context;
  std::optional<mx::array> latent;
  if (!into_.empty()) latent = ops::project(context, x, spec_->pre, into_)[0];
  if (into_norm_) latent = ops::rms_norm(context, *latent, *into_norm_);
  mx::array routed = ops::moe(context, x, spec_, false, step.moe_layers, step.experts, latent);
  if (!out_of_.empty()) routed = ops::project(context, routed, latent_norm_, out_of_)[0];
  if (!shared_) return routed;
  const mx::array shared = ops::gated_mlp(context, x, shared_, false);
  if (!shares_.empty()) {
    const mx::array shares = ops::project(context, x, spec_->pre, shares_)[0];
    return ops::mix(context, routed, shared, shares);
  }
  if (shared_gate_.empty()) return ops::add(context, routed, shared);
  const mx::array gate = ops::project(context, x, spec_->pre, shared_gate_)[0];
  return ops::add_sigmoid_gated(context, routed, gate, shared);
}

FeedForward::FeedForward(const Config& c, const LayerConfig& layer, const Weights& w,
                         BlockNorms norms, int64_t i, Demands& demands) {
  if (const MoeConfig* const moe = layer.moe()) {
    sparse_.emplace(c, *moe, w, std::move(norms), i, demands);
  } else {
    dense_.emplace(c, layer.mlp(), w, std::move(norms), demands);
  }
}

}  // namespace sluice::nn
