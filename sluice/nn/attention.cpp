#include "sluice/nn/attention.h"

#include "sluice/base/error.h"

namespace sluice::nn {
namespace {

std::vector<ops::Projection> load_projections(const Config& c, const Weights& w) {
  const int64_t q_rows = c.n_heads * c.head_dim;
  const int64_t kv_rows = c.n_kv_heads * c.head_dim;
  const Weights fused = w["qkv_proj"];
  if (fused.has()) {
    const int64_t total = q_rows + 2 * kv_rows;
    return {linear_part(fused, c.hidden_size, total, 0, q_rows),
            linear_part(fused, c.hidden_size, total, q_rows, kv_rows),
            linear_part(fused, c.hidden_size, total, q_rows + kv_rows, kv_rows)};
  }
  return {linear(w["q_proj"], c.hidden_size, q_rows), linear(w["k_proj"], c.hidden_size, kv_rows),
          linear(w["v_proj"], c.hidden_size, kv_rows)};
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

Attention::Attention(const Config& c, const Weights& w, BlockNorms norms, int64_t layer)
    : norms_(std::move(norms)),
      qkv_(load_projections(c, w)),
      o_(linear(w["o_proj"], c.n_heads * c.head_dim, c.hidden_size)),
      q_norm_(load_norm(w, "q_norm", c.n_heads, c.head_dim)),
      k_norm_(load_norm(w, "k_norm", c.n_kv_heads, c.head_dim)),
      rope_(c.layers[static_cast<size_t>(layer)].rope),
      layer_(static_cast<size_t>(layer)),
      norm_offset_(c.norm_weight_offset),
      norm_eps_(c.rms_norm_eps) {
  spec_.n_heads = c.n_heads;
  spec_.scale = c.attention_scale;
  spec_.softcap = c.attention_softcap;
  spec_.window = c.layers[layer_].sliding_window;
  spec_.sinks = w["sinks"].optional_vector(c.n_heads);
  spec_.query = {.norm = q_norm_.per_head,
                 .norm_offset = norm_offset_,
                 .norm_eps = norm_eps_,
                 .interleaved = rope_.interleaved()};
  spec_.key = spec_.query;
  spec_.key.norm = k_norm_.per_head;
}

mx::array Attention::norm_whole(const mx::array& x, const Norm& norm, const Step& step) const {
  return norm.whole ? ops::rms_norm(step.context, x, {norm.whole, norm_offset_, norm_eps_}) : x;
}

mx::array Attention::operator()(const mx::array& x, const Step& step) const {
  const std::vector<mx::array> qkv = ops::project(step.context, x, norms_.pre, qkv_);
  const mx::array q = norm_whole(qkv[0], q_norm_, step);
  const mx::array k = norm_whole(qkv[1], k_norm_, step);
  const mx::array attended =
      ops::attention(step.context, q, k, qkv[2], rope_.angles(step), spec_,
                     step.layout.layers[layer_], step.kv[step.layout.group_of_layer[layer_]]);
  return ops::project_onto(step.context, attended, o_, norms_.post, x);
}

}  // namespace sluice::nn
