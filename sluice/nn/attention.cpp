#include "sluice/nn/attention.h"

#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

int64_t value_dim(const AttentionConfig& a) { return a.value_dim > 0 ? a.value_dim : a.head_dim; }

/// Of a projection, where the files have one.
struct HeadNorm {
  std::optional<ops::Norm> of_rows;  // of the whole projection, or of its heads where they differ
  ops::Vector of_heads;              // root-mean-square, the same for each head
};

HeadNorm load_norm(const Config& c, const AttentionConfig& a, const Weights& w, int64_t n_heads) {
  const float eps = a.norm_eps > 0 ? a.norm_eps : c.rms_norm_eps;
  const auto of_rows = [&](ops::Vector weight, int64_t n) {
    return HeadNorm{ops::Norm{.weight = std::move(weight),
                              .weight_offset = c.centered_norms ? 0 : c.norm_weight_offset,
                              .eps = eps,
                              .centered = c.centered_norms,
                              .bias = n == 1 ? w["bias"].optional_vector(a.head_dim) : nullptr,
                              .n_heads = n},
                    nullptr};
  };
  if (a.unit_norms) return {std::nullopt, ones(a.head_dim)};
  if (c.centered_norms && w["norms"]["0"].has()) {  // a list of them, one for each head
    std::vector<float> all;
    for (const ops::Vector& one : w["norms"].optional_vectors("weight", n_heads, a.head_dim))
      all.insert(all.end(), one->begin(), one->end());
    return of_rows(std::make_shared<const std::vector<float>>(std::move(all)), n_heads);
  }
  if (!w.has()) return {};
  const std::span<const int64_t> shape = w.has("weight") ? w.shape() : w.shape("");
  if (c.centered_norms && shape.size() == 2)
    return of_rows(w["weight"].tensor({{n_heads, a.head_dim}}), n_heads);
  const bool of_heads = shape.size() == 1 && shape[0] == a.head_dim;
  if (!of_heads) {
    return {ops::Norm{w["weight"].vector(n_heads * a.head_dim), c.norm_weight_offset, eps},
            nullptr};
  }
  const ops::Vector weight = w["weight"].vector(a.head_dim);
  return c.centered_norms ? of_rows(weight, 1) : HeadNorm{std::nullopt, weight};
}

std::vector<ops::Projection> load_projections(const Config& c, const AttentionConfig& a,
                                              const Weights& w) {
  const int64_t q_rows = a.n_heads * a.head_dim * (a.output_gate ? 2 : 1);
  const int64_t k_rows = a.n_kv_heads * a.head_dim, v_rows = a.n_kv_heads * value_dim(a);
  const int64_t total = q_rows + k_rows + v_rows;
  const Weights fused = w["qkv_proj"];
  if (fused.has() && a.qkv_per_group) return {linear(fused, c.hidden_size, total)};
  if (fused.has()) {
    return {linear_part(fused, c.hidden_size, total, 0, q_rows),
            linear_part(fused, c.hidden_size, total, q_rows, k_rows),
            linear_part(fused, c.hidden_size, total, q_rows + k_rows, v_rows)};
  }
  std::vector<ops::Projection> qkv{linear(w["q_proj"], c.hidden_size, q_rows)};
  if (a.kv_of_layer >= 0) {
    for (const char* unused : {"k_proj", "v_proj", "k_norm"}) w[unused].pass_over();
    return qkv;
  }
  qkv.push_back(linear(w["k_proj"], c.hidden_size, k_rows));
  if (!a.keys_are_values) qkv.push_back(linear(w["v_proj"], c.hidden_size, v_rows));
  return qkv;
}

size_t slot_for(const AttentionConfig& a, Demands& demands) {
  const int64_t window = a.chunk > 0 ? a.chunk : a.sliding_window;
  const size_t slot = a.kv_of_layer >= 0
                          ? demands.attention_slots.at(static_cast<size_t>(a.kv_of_layer))
                          : demands.kept.add_kv(a.n_kv_heads, a.head_dim, window);
  demands.attention_slots.push_back(slot);
  return slot;
}

/// Columns of queries in the order of key heads, or of what was attended back in that of query heads.
std::vector<ops::Columns> regrouped(const AttentionConfig& a, int64_t dim, bool back) {
  std::vector<ops::Columns> columns;
  const int64_t n = back ? a.n_heads / a.n_kv_heads : a.n_kv_heads;
  for (int64_t i = 0; i < a.n_heads; ++i)
    columns.push_back({(i % (a.n_heads / n) * n + i / (a.n_heads / n)) * dim, dim});
  return columns;
}

}  // namespace

Attention::Attention(const Config& c, const AttentionConfig& a, const Weights& w, BlockNorms norms,
                     Demands& demands)
    : norms_(std::move(norms)),
      config_(a),
      in_(load_projections(c, a, w)),
      o_(linear(w["o_proj"], a.n_heads * value_dim(a), c.hidden_size)),
      rope_(a.rope),
      slot_(slot_for(a, demands)) {
  norms_.scale *= a.out_scale;
  if (a.has_gate && w["gate_proj"].has()) {
    const Weights gate = w["gate_proj"];
    const bool per_head = gate.shape()[0] == a.n_heads;
    in_.push_back(linear(gate, c.hidden_size, per_head ? a.n_heads : a.n_heads * value_dim(a)));
    gated_ = true;
  }
  const HeadNorm of_q = load_norm(c, a, w["q_norm"], a.n_heads);
  const HeadNorm of_k =
      a.kv_of_layer >= 0 ? HeadNorm{} : load_norm(c, a, w["k_norm"], a.n_kv_heads);
  q_norm_ = of_q.of_rows;
  k_norm_ = of_k.of_rows;
  spec_.n_heads = a.n_heads;
  spec_.scale = a.scale;
  spec_.softcap = a.softcap;
  spec_.window = a.chunk > 0 ? a.chunk : a.sliding_window;
  spec_.chunk = a.chunk;
  spec_.sinks = w["sinks"].optional_vector(a.n_heads);
  spec_.query = {.norm = of_q.of_heads,
                 .norm_offset = a.unit_norms ? 0 : c.norm_weight_offset,
                 .norm_eps = a.norm_eps > 0 ? a.norm_eps : c.rms_norm_eps,
                 .norm_last = a.norm_last,
                 .interleaved = rope_.interleaved()};
  spec_.key = spec_.query;
  spec_.key.norm = of_k.of_heads;
  spec_.stores = a.kv_of_layer < 0;
  if (a.value_norm) spec_.value_norm = ones(a.head_dim);
  const int64_t queries = a.n_heads * a.head_dim, keys = a.n_kv_heads * a.head_dim;
  const int64_t copied = (q_norm_ || a.clip > 0 || a.tiled_heads ? queries : 0) +
                         (k_norm_ || a.clip > 0 || a.value_dim > 0 ? 2 * keys : 0);
  const int64_t apart = a.output_gate || gated_ || a.tiled_heads ? 2 * queries
                        : a.qkv_per_group                        ? queries + 2 * keys
                                                                 : 0;
  demands.add_rows(queries + 2 * keys + apart + copied, queries);
  demands.add_attention(a.n_kv_heads, a.n_heads / a.n_kv_heads, a.head_dim);
}

Attention::Inputs Attention::project(const mx::array& x, const Step& step) const {
  const ops::Context& context = step.context;
  const AttentionConfig& a = config_;
  std::vector<mx::array> in = ops::project(context, x, norms_.pre, in_);
  std::optional<mx::array> gate;
  if (gated_) {
    gate = in.back();
    in.pop_back();
  }
  // Of rows that hold so many runs of head_dim for each head: n of them, from the i-th on.
  const auto runs = [&](const mx::array& of, int64_t n_heads, int64_t all, int64_t i, int64_t n) {
    const int64_t d = a.head_dim;
    return ops::take_columns(context, of, ops::of_each_head(n_heads, all * d, i * d, n * d));
  };
  if (a.qkv_per_group && in.size() == 1) {
    const int64_t shared = a.n_heads / a.n_kv_heads;
    const auto some = [&](int64_t i, int64_t n) {
      return runs(in[0], a.n_kv_heads, shared + 2, i, n);
    };
    in = {some(0, shared), some(shared, 1), some(shared + 1, 1)};
  }
  if (a.output_gate) {
    gate = runs(in[0], a.n_heads, 2, 1, 1);
    in[0] = runs(in[0], a.n_heads, 2, 0, 1);
  }
  for (size_t i = 0; a.clip > 0 && i < in.size(); ++i) in[i] = ops::clip(context, in[i], a.clip);
  mx::array q = q_norm_ ? ops::rms_norm(context, in[0], *q_norm_) : in[0];
  if (a.tiled_heads) q = ops::take_columns(context, q, regrouped(a, a.head_dim, false));
  if (a.position.beta != 0) q = ops::scale_rows(context, q, factors(a.position, *step.positions));
  if (in.size() == 1) return {q, q, q, gate};
  mx::array v = in.back();
  if (a.value_dim > 0) v = ops::widen_heads(context, v, a.n_kv_heads, a.head_dim);
  return {q, k_norm_ ? ops::rms_norm(context, in[1], *k_norm_) : in[1], v, gate};
}

mx::array Attention::finish(mx::array attended, const std::optional<mx::array>& gate,
                            const Step& step) const {
  const ops::Context& context = step.context;
  const AttentionConfig& a = config_;
  constexpr auto kSigmoid = kernels::Activation::sigmoid;
  if (a.value_dim > 0) {
    attended = ops::take_columns(context, attended,
                                 ops::of_each_head(a.n_heads, a.head_dim, 0, a.value_dim));
  }
  if (a.tiled_heads)
    attended = ops::take_columns(context, attended, regrouped(a, value_dim(a), true));
  if (a.value_scale != 1) attended = ops::scale(context, attended, a.value_scale);
  if (!gate) return attended;
  return gate->shape(1) == a.n_heads ? ops::gate_heads(context, attended, *gate, kSigmoid)
                                     : ops::apply_gate(context, attended, *gate, kSigmoid);
}

mx::array Attention::operator()(const mx::array& x, const Step& step) const {
  const Inputs in = project(x, step);
  const mx::array attended =
      ops::attention(step.context, in.q, in.k, in.v, rope_.angles(step), spec_,
                     step.layout.layers[slot_], step.kv[step.layout.group_of_layer[slot_]]);
  return ops::project_onto(step.context, finish(attended, in.gate, step), o_, norms_.end(), x);
}

}  // namespace sluice::nn
