#include "sluice/nn/latent_attention.h"

#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

struct PerHeadMatrices {
  ops::PerHead into, out_of;
};

PerHeadMatrices load_per_head(const LatentAttentionConfig& a, const Weights& w) {
  const int64_t n = a.n_heads;
  if (const Weights both = w["kv_b_proj"];
      both.has()) {  // of each head, nope rows of keys, then values
    const int64_t stride = a.nope_dim + a.value_dim;
    const residency::Weight weight = both.matrix(n * stride, a.kv_lora_rank);
    return {{weight, n, stride, 0, a.nope_dim, true},
            {weight, n, stride, a.nope_dim, a.value_dim, false}};
  }
  return {{w["embed_q"].matrices(n, a.kv_lora_rank, a.nope_dim), n, a.kv_lora_rank, 0,
           a.kv_lora_rank, false},
          {w["unembed_out"].matrices(n, a.value_dim, a.kv_lora_rank), n, a.value_dim, 0,
           a.value_dim, false}};
}

ops::Norm load_norm(const Weights& w, int64_t n, const LatentAttentionConfig& a, float factor) {
  std::vector<float> weight = *w["weight"].vector(n);
  for (float& value : weight) value *= factor;
  return {std::make_shared<const std::vector<float>>(std::move(weight)), 0.0F, a.latent_eps};
}

}  // namespace

LatentAttention::LatentAttention(const Config& c, const LatentAttentionConfig& a, const Weights& w,
                                 BlockNorms norms, Demands& demands)
    : norms_(std::move(norms)),
      config_(a),
      kv_norm_(load_norm(w["kv_a_layernorm"], a.kv_lora_rank, a, a.latent_factor)),
      rope_(a.rope) {
  const int64_t queries = a.n_heads * (a.nope_dim + a.rope_dim);
  const int64_t width = a.kv_lora_rank + a.rope_dim;
  if (a.q_lora_rank > 0) {
    in_.push_back(linear(w["q_a_proj"], c.hidden_size, a.q_lora_rank));
    q_norm_ = load_norm(w["q_a_layernorm"], a.q_lora_rank, a, a.q_factor);
  } else {
    in_.push_back(linear(w["q_proj"], c.hidden_size, queries));
  }
  in_.push_back(linear(w["kv_a_proj_with_mqa"], c.hidden_size, width));
  if (const Weights of_gate = w["g_proj"]; of_gate.has()) {
    const bool per_head = of_gate.shape()[0] == a.n_heads;
    in_.push_back(linear(of_gate, c.hidden_size, per_head ? a.n_heads : a.n_heads * a.value_dim));
    gated_ = true;
  }
  if (a.q_lora_rank > 0) q_b_.push_back(linear(w["q_b_proj"], a.q_lora_rank, queries));
  if (a.index.n_heads > 0) {
    indexer_.emplace(c, a.index, a.q_lora_rank, w["indexer"], demands);
    in_.insert(in_.end(), indexer_->of_block().begin(), indexer_->of_block().end());
    q_b_.push_back(indexer_->of_query());
  }
  PerHeadMatrices matrices = load_per_head(a, w);
  into_ = std::make_shared<const ops::PerHead>(matrices.into);
  out_of_ = std::make_shared<const ops::PerHead>(matrices.out_of);
  o_ = linear(w["o_proj"], a.n_heads * a.value_dim, c.hidden_size);
  spec_.n_heads = a.n_heads;
  spec_.scale = a.scale;
  spec_.query.interleaved = rope_.interleaved();
  spec_.key = spec_.query;
  slot_ = demands.kept.add_latent(width);
  const int64_t attended = a.n_heads * width;
  demands.add_rows(2 * attended + 2 * queries + 2 * width + a.q_lora_rank,
                   std::max({a.n_heads * a.value_dim, attended, queries}));
  demands.add_attention(1, a.n_heads, width);
}

mx::array LatentAttention::gate(const mx::array& attended, const mx::array& by,
                                const Step& step) const {
  constexpr auto kSigmoid = kernels::Activation::sigmoid;
  return by.shape(1) == config_.n_heads ? ops::gate_heads(step.context, attended, by, kSigmoid)
                                        : ops::apply_gate(step.context, attended, by, kSigmoid);
}

mx::array LatentAttention::operator()(const mx::array& x, const mx::array& residual,
                                      const Step& step) const {
  const ops::Context& context = step.context;
  const LatentAttentionConfig& a = config_;
  const int64_t head = a.nope_dim + a.rope_dim, width = a.rope_dim + a.kv_lora_rank;
  const std::vector<mx::array> in = ops::project(context, x, norms_.pre, in_);
  const std::vector<mx::array> of_q =
      q_b_.empty() ? std::vector<mx::array>{in[0]} : ops::project(context, in[0], q_norm_, q_b_);
  const mx::array& q = of_q[0];
  const mx::array q_nope =
      ops::take_columns(context, q, ops::of_each_head(a.n_heads, head, 0, a.nope_dim));
  const mx::array q_rope =
      ops::take_columns(context, q, ops::of_each_head(a.n_heads, head, a.nope_dim, a.rope_dim));
  mx::array query =
      ops::join_heads(context, q_rope, ops::project_per_head(context, q_nope, into_), a.n_heads);
  if (a.position.beta != 0)
    query = ops::scale_rows(context, query, factors(a.position, *step.positions));
  const mx::array latent =
      ops::rms_norm(context, ops::take_columns(context, in[1], {{0, a.kv_lora_rank}}), kv_norm_);
  const mx::array k_rope = ops::take_columns(context, in[1], {{a.kv_lora_rank, a.rope_dim}});
  const mx::array key = ops::join_heads(context, k_rope, latent, 1);
  std::optional<ops::Selection> selection;
  if (indexer_)
    selection = (*indexer_)(of_q[1], std::span(in).last(indexer_->of_block().size()), step);
  const mx::array attended =
      ops::attention(context, query, key, key, rope_.angles(step), spec_, step.layout.layers[slot_],
                     step.kv[step.layout.group_of_layer[slot_]], selection);
  const mx::array values = ops::take_columns(
      context, attended, ops::of_each_head(a.n_heads, width, a.rope_dim, a.kv_lora_rank));
  const mx::array result = ops::project_per_head(context, values, out_of_);
  return ops::project_onto(context, gated_ ? gate(result, in[2], step) : result, o_, norms_.end(),
                           residual);
}

}  // namespace sluice::nn
