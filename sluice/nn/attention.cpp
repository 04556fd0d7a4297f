#include "sluice/nn/attention.h"

#include <cmath>

#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

std::vector<ops::Projection> load_projections(const Config& c, const AttentionConfig& a,
                                              const Weights& w) {
  const int64_t q_rows = a.n_heads * a.head_dim * (a.output_gate ? 2 : 1);
  const int64_t kv_rows = a.n_kv_heads * a.head_dim;
  const Weights fused = w["qkv_proj"];
  if (fused.has() && a.qkv_per_head)
    return {linear(fused, c.hidden_size, 3 * a.n_heads * a.head_dim)};
  if (fused.has()) {
    const int64_t total = q_rows + 2 * kv_rows;
    return {linear_part(fused, c.hidden_size, total, 0, q_rows),
            linear_part(fused, c.hidden_size, total, q_rows, kv_rows),
            linear_part(fused, c.hidden_size, total, q_rows + kv_rows, kv_rows)};
  }
  std::vector<ops::Projection> qkv{linear(w["q_proj"], c.hidden_size, q_rows)};
  if (a.kv_of_layer >= 0) {
    for (const char* unused : {"k_proj", "v_proj", "k_norm"}) w[unused].pass_over();
    return qkv;
  }
  qkv.push_back(linear(w["k_proj"], c.hidden_size, kv_rows));
  if (!a.keys_are_values) qkv.push_back(linear(w["v_proj"], c.hidden_size, kv_rows));
  return qkv;
}

size_t slot_for(const AttentionConfig& a, Demands& demands) {
  const size_t slot = a.kv_of_layer >= 0
                          ? demands.attention_slots.at(static_cast<size_t>(a.kv_of_layer))
                          : demands.kept.add_kv(a.n_kv_heads, a.head_dim, a.sliding_window);
  demands.attention_slots.push_back(slot);
  return slot;
}

std::vector<float> position_factors(const AttentionConfig& a,
                                    const std::vector<int64_t>& positions) {
  std::vector<float> factors;
  for (const int64_t position : positions) {
    const auto whole = static_cast<double>(position / a.position_original);
    factors.push_back(static_cast<float>(1 + double{a.position_beta} * std::log(1 + whole)));
  }
  return factors;
}

}  // namespace

Attention::Norm Attention::load_norm(const Weights& w, const char* name, int64_t n_heads,
                                     int64_t head_dim) {
  const Weights norm = w[name];
  if (!norm.has()) return {};
  const std::span<const int64_t> shape = norm.shape();
  if (shape.size() == 1 && shape[0] == head_dim)
    return {.whole = nullptr, .per_head = norm["weight"].vector(head_dim)};
  return {.whole = norm["weight"].vector(n_heads * head_dim), .per_head = nullptr};
}

Attention::Attention(const Config& c, const AttentionConfig& a, const Weights& w, BlockNorms norms,
                     Demands& demands)
    : norms_(std::move(norms)),
      config_(a),
      qkv_(load_projections(c, a, w)),
      o_(linear(w["o_proj"], a.n_heads * a.head_dim, c.hidden_size)),
      q_norm_(load_norm(w, "q_norm", a.n_heads, a.head_dim)),
      k_norm_(a.kv_of_layer >= 0 ? Norm{} : load_norm(w, "k_norm", a.n_kv_heads, a.head_dim)),
      rope_(a.rope),
      slot_(slot_for(a, demands)),
      norm_offset_(c.norm_weight_offset),
      norm_eps_(c.rms_norm_eps) {
  norms_.scale *= a.out_scale;
  spec_.n_heads = a.n_heads;
  spec_.scale = a.scale;
  spec_.softcap = a.softcap;
  spec_.window = a.sliding_window;
  spec_.sinks = w["sinks"].optional_vector(a.n_heads);
  spec_.query = {.norm = q_norm_.per_head,
                 .norm_offset = norm_offset_,
                 .norm_eps = norm_eps_,
                 .norm_last = a.norm_last,
                 .interleaved = rope_.interleaved()};
  spec_.key = spec_.query;
  spec_.key.norm = k_norm_.per_head;
  spec_.stores = a.kv_of_layer < 0;
  if (a.value_norm) {
    const std::vector<float> ones(static_cast<size_t>(a.head_dim), 1.0F);
    spec_.value_norm = std::make_shared<const std::vector<float>>(ones);
  }
  const int64_t queries = a.n_heads * a.head_dim, keys = a.n_kv_heads * a.head_dim;
  const int64_t normed = (q_norm_.whole ? queries : 0) + (k_norm_.whole ? keys : 0);
  const int64_t apart = a.output_gate ? 2 * queries : a.qkv_per_head ? queries + 2 * keys : 0;
  demands.add_rows(queries + 2 * keys + apart + normed, queries);
  demands.add_attention(a.n_kv_heads, a.n_heads / a.n_kv_heads, a.head_dim);
}

mx::array Attention::norm_whole(const mx::array& x, const Norm& norm, const Step& step) const {
  return norm.whole ? ops::rms_norm(step.context, x, {norm.whole, norm_offset_, norm_eps_}) : x;
}

mx::array Attention::operator()(const mx::array& x, const Step& step) const {
  const ops::Context& context = step.context;
  std::vector<mx::array> qkv = ops::project(context, x, norms_.pre, qkv_);
  // Of rows that hold `parts` runs of head_dim for each head: the i-th of each.
  const auto part = [&](const mx::array& of, int64_t parts, int64_t i) {
    const int64_t d = config_.head_dim;
    return ops::take_columns(context, of, ops::of_each_head(config_.n_heads, parts * d, i * d, d));
  };
  if (config_.qkv_per_head) qkv = {part(qkv[0], 3, 0), part(qkv[0], 3, 1), part(qkv[0], 3, 2)};
  const mx::array queries = config_.output_gate ? part(qkv[0], 2, 0) : qkv[0];
  mx::array q = norm_whole(queries, q_norm_, step);
  if (config_.position_beta != 0)
    q = ops::scale_rows(context, q, position_factors(config_, *step.positions));
  const mx::array k = qkv.size() == 1 ? q : norm_whole(qkv[1], k_norm_, step);
  mx::array attended =
      ops::attention(context, q, k, qkv.back(), rope_.angles(step), spec_,
                     step.layout.layers[slot_], step.kv[step.layout.group_of_layer[slot_]]);
  if (config_.output_gate) {
    attended = ops::apply_gate(context, attended, part(qkv[0], 2, 1), kernels::Activation::sigmoid);
  }
  return ops::project_onto(context, attended, o_, norms_.end(), x);
}

}  // namespace sluice::nn
