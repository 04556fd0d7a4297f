#include "sluice/nn/attention.h"

#include "sluice/base/error.h"
#include "sluice/nn/conv.h"
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
                              .weight_offset = 0,
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
  if (shape.size() == 2) return of_rows(w["weight"].tensor({{n_heads, a.head_dim}}), n_heads);
  const bool of_heads = shape.size() == 1 && shape[0] == a.head_dim;
  if (!of_heads) {
    return {ops::Norm{w["weight"].vector(n_heads * a.head_dim), c.norm_weight_offset, eps},
            nullptr};
  }
  const ops::Vector weight = w["weight"].vector(a.head_dim);
  return c.centered_norms ? of_rows(weight, 1) : HeadNorm{std::nullopt, weight};
}

/// Each head's gain times head_dim, as the weights of a norm.
ops::Vector gains_of_heads(const Weights& w, const AttentionConfig& a) {
  const ops::Vector gains = w.values(a.n_heads);
  std::vector<float> all;
  for (const float gain : *gains) all.insert(all.end(), static_cast<size_t>(a.head_dim), gain);
  return std::make_shared<const std::vector<float>>(std::move(all));
}

/// The convolution of a key head's channels, which all have its taps.
ops::CausalConvSpec load_head_conv(const Weights& w, const AttentionConfig& a) {
  constexpr int64_t kTaps = 2;
  const ops::Vector stored = w.values(a.n_kv_heads * kTaps);
  std::vector<float> taps;
  for (int64_t i = 0; i < kTaps * a.n_kv_heads * a.head_dim && !stored->empty(); ++i) {
    const int64_t tap = i / (a.n_kv_heads * a.head_dim), head = i / a.head_dim % a.n_kv_heads;
    taps.push_back((*stored)[static_cast<size_t>(head * kTaps + tap)]);
  }
  return {.n_channels = a.n_kv_heads * a.head_dim,
          .n_taps = kTaps,
          .weight = std::make_shared<const std::vector<float>>(std::move(taps)),
          .bias = nullptr,
          .activation = std::nullopt};
}

std::vector<ops::Projection> load_projections(const Config& c, const AttentionConfig& a,
                                              const Weights& w) {
  const int64_t q_rows = a.n_heads * a.head_dim * (a.output_gate ? 2 : 1);
  const int64_t k_rows = a.n_kv_heads * a.head_dim, v_rows = a.n_kv_heads * value_dim(a);
  const int64_t total = q_rows + k_rows + v_rows;
  if (const Weights all = w["qkvg_proj"]; all.has()) {
    const int64_t with_gate = total + a.n_heads * value_dim(a);
    return {linear_part(all, c.hidden_size, with_gate, 0, q_rows),
            linear_part(all, c.hidden_size, with_gate, q_rows, k_rows),
            linear_part(all, c.hidden_size, with_gate, q_rows + k_rows, v_rows),
            linear_part(all, c.hidden_size, with_gate, total, with_gate - total)};
  }
  const Weights fused = w["qkv_proj"];
  if (fused.has() && a.qkv_per_group) return {linear(fused, c.hidden_size, total)};
  if (fused.has()) {
    return {linear_part(fused, c.hidden_size, total, 0, q_rows),
            linear_part(fused, c.hidden_size, total, q_rows, k_rows),
            linear_part(fused, c.hidden_size, total, q_rows + k_rows, v_rows)};
  }
  std::vector<ops::Projection> qkv{linear(w["q_proj"], c.hidden_size, q_rows)};
  if (a.kv_of_layer >= 0) {
    for (const char* unused : {"k_proj", "v_proj"}) w[unused].pass_over();
    if (!a.key_norm_of_layer) w["k_norm"].pass_over();
    return qkv;
  }
  qkv.push_back(linear(w["k_proj"], c.hidden_size, k_rows));
  if (!a.keys_are_values) qkv.push_back(linear(w["v_proj"], c.hidden_size, v_rows));
  return qkv;
}

/// Of two norms' weights, of which either may be absent.
ops::Vector product(const ops::Vector& a, const ops::Vector& b) {
  std::vector<float> both = a ? *a : std::vector<float>(b->size(), 1.0F);
  for (size_t i = 0; i < both.size() && i < b->size(); ++i) both[i] *= (*b)[i];
  return std::make_shared<const std::vector<float>>(std::move(both));
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
  if (a.sparse.block > 0 && c.kv.max_size > 0)
    fail(ErrorKind::unsupported, "--max-kv-size: {}: its attention is sparse; leave it out",
         w.path());
  if (a.sparse.block > 0 || a.chunk > 0) demands.kept.by_position = true;
  norms_.scale *= a.out_scale;
  gated_ = in_.size() == 4;
  if (a.has_gate && w["gate_proj"].has()) {
    const Weights gate = w["gate_proj"];
    const bool per_head = gate.shape()[0] == a.n_heads;
    in_.push_back(linear(gate, c.hidden_size, per_head ? a.n_heads : a.n_heads * value_dim(a)));
    gated_ = true;
  }
  if (a.index.n_heads > 0) {
    indexer_.emplace(c, a.index, c.hidden_size, w["indexer"], demands);
    in_.insert(in_.end(), indexer_->of_block().begin(), indexer_->of_block().end());
    in_.push_back(indexer_->of_query());
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
  spec_.sparse = a.sparse;
  spec_.sinks = w["sinks"].optional_vector(a.n_heads);
  spec_.query = {.norm = of_q.of_heads,
                 .norm_offset = a.unit_norms ? 0 : c.norm_weight_offset,
                 .norm_eps = a.norm_eps > 0 ? a.norm_eps : c.rms_norm_eps,
                 .norm_last = a.norm_last,
                 .interleaved = rope_.interleaved()};
  spec_.key = spec_.query;
  spec_.key.norm = of_k.of_heads;
  if (a.key_norm_of_layer && w["k_norm"].has()) {
    spec_.query.norm = product(spec_.query.norm, w["k_norm"]["weight"].vector(a.head_dim));
    spec_.key.norm = ones(a.head_dim);
  }
  spec_.stores = a.kv_of_layer < 0;
  load_apart(w);
  load_convolutions(w, demands);
  if (const Weights sub_norm = w["sub_norm"]; sub_norm.has())
    sub_norm_ = ops::Norm{sub_norm["weight"].vector(a.n_heads * value_dim(a)), 0, c.rms_norm_eps};
  if (a.result_norm) sub_norm_ = ops::Norm{ones(value_dim(a)), 0, c.rms_norm_eps};
  if (a.value_norm) spec_.value_norm = ones(a.head_dim);
  const int64_t queries = a.n_heads * a.head_dim, keys = a.n_kv_heads * a.head_dim;
  const int64_t copied = (q_norm_ || a.clip > 0 || a.tiled_heads ? queries : 0) +
                         (k_norm_ || a.clip > 0 || a.value_dim > 0 ? 2 * keys : 0);
  const int64_t apart = a.output_gate || gated_ || a.tiled_heads || sub_norm_ ? 2 * queries
                        : a.qkv_per_group || apart_ || convolved_ ? 2 * queries + 4 * keys
                                                                  : 0;
  demands.add_rows(queries + 2 * keys + apart + copied, queries);
  demands.add_attention(a.n_kv_heads, a.n_heads / a.n_kv_heads, a.head_dim);
}

void Attention::load_apart(const Weights& w) {
  const AttentionConfig& a = config_;
  const Weights gains = w["head_gain"], key_step = w["quant_key_scale"];
  const bool rounds = key_step.has() && spec_.stores;
  if (!gains.has() && !rounds) return;
  apart_ = Apart{.query = spec_.query, .key = spec_.key, .query_norm = {}};
  spec_.query = spec_.key = {.norm_eps = spec_.query.norm_eps};
  if (gains.has()) {
    apart_->query.norm = nullptr;
    apart_->query_norm = ops::Norm{.weight = gains_of_heads(gains, a),
                                   .weight_offset = 0,
                                   .eps = apart_->query.norm_eps,
                                   .n_heads = a.n_heads};
  }
  if (!rounds) return;
  const auto step_at = [](const Weights& at) {
    const ops::Vector found = at.values(1);
    if (!found->empty() && !(found->front() > 0))
      fail(ErrorKind::bad_model, "{}: is {}, wanted more than 0", at.path(), found->front());
    return found->empty() ? 1.0F : found->front();
  };
  apart_->key_step = step_at(key_step);
  apart_->value_step = step_at(w["quant_value_scale"]);
}

void Attention::load_convolutions(const Weights& w, Demands& demands) {
  if (!w["conv_k"].has()) return;
  const auto load = [&](const char* name) {
    return std::make_shared<const ops::CausalConvSpec>(load_head_conv(w[name], config_));
  };
  convolved_ = Convolved{.keys = load("conv_k"), .values = load("conv_v")};
  convolved_->key_slot = demands.kept.add_state(convolved_->keys->state_floats());
  convolved_->value_slot = demands.kept.add_state(convolved_->values->state_floats());
}

void Attention::convolve(Inputs& in, const Step& step) const {
  const auto over = [&](const mx::array& x, const auto& conv, size_t slot) {
    return ops::causal_conv(step.context, x, conv, step.layout.layers[slot], step.states(slot));
  };
  in.k = over(in.k, convolved_->keys, convolved_->key_slot);
  in.v = over(in.v, convolved_->values, convolved_->value_slot);
}

void Attention::transform(Inputs& in, const std::optional<mx::array>& angles,
                          const Step& step) const {
  const ops::Context& context = step.context;
  in.q = ops::transform_heads(context, in.q, config_.n_heads, apart_->query, angles);
  in.k = ops::transform_heads(context, in.k, config_.n_kv_heads, apart_->key, angles);
  if (apart_->query_norm) in.q = ops::rms_norm(context, in.q, *apart_->query_norm);
  if (apart_->key_step == 0) return;
  in.k = ops::round_to_int8(context, in.k, apart_->key_step);
  in.v = ops::round_to_int8(context, in.v, apart_->value_step);
}

Attention::Inputs Attention::project(const mx::array& x, const Step& step) const {
  const ops::Context& context = step.context;
  const AttentionConfig& a = config_;
  std::vector<mx::array> in = ops::project(context, x, norms_.pre, in_);
  std::optional<ops::Selection> selection;
  if (indexer_) {
    const size_t n = indexer_->of_block().size() + 1;
    selection = (*indexer_)(in.back(), std::span(in).last(n), step);
    in.erase(in.end() - static_cast<ptrdiff_t>(n), in.end());
  }
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
  if (in.size() == 1) return {q, q, q, gate, selection};
  mx::array v = in.back();
  if (a.value_dim > 0) v = ops::widen_heads(context, v, a.n_kv_heads, a.head_dim);
  return {q, k_norm_ ? ops::rms_norm(context, in[1], *k_norm_) : in[1], v, gate, selection};
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
  if (sub_norm_) attended = ops::rms_norm(context, attended, *sub_norm_);
  if (a.value_scale != 1) attended = ops::scale(context, attended, a.value_scale);
  if (!gate) return attended;
  if (a.softplus_gate) return ops::softplus_heads(context, attended, *gate);
  return gate->shape(1) == a.n_heads ? ops::gate_heads(context, attended, *gate, kSigmoid)
                                     : ops::apply_gate(context, attended, *gate, kSigmoid);
}

mx::array Attention::attend(const mx::array& x, const Step& step) const {
  Inputs in = project(x, step);
  std::optional<mx::array> angles = rope_.angles(step);
  if (convolved_) convolve(in, step);
  if (apart_) {
    transform(in, angles, step);
    angles = std::nullopt;
  }
  const mx::array attended =
      ops::attention(step.context, in.q, in.k, in.v, angles, spec_, step.layout.layers[slot_],
                     step.kv[step.layout.group_of_layer[slot_]], in.selection);
  return finish(attended, in.gate, step);
}

mx::array Attention::operator()(const mx::array& x, const Step& step) const {
  return ops::project_onto(step.context, attend(x, step), o_, norms_.end(), x);
}

}  // namespace sluice::nn
