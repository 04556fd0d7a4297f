#include "sluice/nn/gated_delta.h"

#include <array>
#include <initializer_list>

#include "sluice/nn/conv.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/mamba2.h"
#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

using Columns = std::vector<ops::Columns>;

/// The module of the first of these names that the files have; if they have none, of the first.
Weights first_of(const Weights& w, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (w[name].has()) return w[name];
  }
  return w[*names.begin()];
}

/// What x is projected to: qkvz, or q, k and v in one or apart, and z; then ba, or a and b. z and a may come by a low rank.
std::vector<ops::Projection> load_projections(const Config& c, const GatedDeltaConfig& g,
                                              const Weights& w) {
  const int64_t keys = g.n_key_heads * g.key_dim, values = g.n_value_heads * g.value_dim;
  std::vector<ops::Projection> in;
  const auto add = [&](const Weights& of, int64_t rows) {
    in.push_back(linear(of, c.hidden_size, rows));
  };
  if (const Weights fused = w["in_proj_qkvz"]; fused.has()) {
    add(fused, 2 * (keys + values));
  } else {
    if (w["q_proj"].has()) {
      add(w["q_proj"], keys);
      add(w["k_proj"], keys);
      add(w["v_proj"], values);
    } else {
      add(w["in_proj_qkv"], 2 * keys + values);
    }
    add(first_of(w, {"in_proj_z", "g_proj", "g_a_proj"}), w["g_b_proj"].has() ? g.key_dim : values);
  }
  if (const Weights fused = w["in_proj_ba"]; fused.has()) {
    add(fused, 2 * g.n_value_heads);
  } else {
    const int64_t decays = g.n_value_heads * (g.by_channel ? g.key_dim : 1);
    add(first_of(w, {"in_proj_a", "a_proj", "f_proj", "f_a_proj"}),
        w["f_b_proj"].has() ? g.key_dim : decays);
    add(first_of(w, {"in_proj_b", "b_proj"}), g.n_value_heads);
  }
  return in;
}

/// The second matrix of a projection by a low rank; none where it is one.
std::vector<ops::Projection> load_up(const Weights& w, int64_t rank, int64_t rows) {
  if (!w.has()) return {};
  return {linear(w, rank, rows)};
}

/// One convolution of queries, keys and values, which the files may have apart.
ops::CausalConvSpec load_convs(const Weights& w, const ops::GatedDeltaSpec& delta, int64_t n_taps) {
  ops::CausalConvSpec whole;
  whole.n_channels = delta.row_floats();
  whole.n_taps = n_taps;
  if (const Weights one = w["conv1d"]; one.has()) {
    whole = load_conv(one, whole.n_channels, n_taps);
  } else {
    std::vector<float> taps;
    const std::array parts{load_conv(w["q_conv1d"], delta.key_floats(), n_taps),
                           load_conv(w["k_conv1d"], delta.key_floats(), n_taps),
                           load_conv(w["v_conv1d"], delta.value_floats(), n_taps)};
    for (int64_t tap = 0; tap < n_taps; ++tap) {
      for (const ops::CausalConvSpec& part : parts) {
        if (part.weight->empty()) continue;  // headers alone were read
        const auto begin = part.weight->begin() + tap * part.n_channels;
        taps.insert(taps.end(), begin, begin + part.n_channels);
      }
    }
    whole.weight = std::make_shared<const std::vector<float>>(std::move(taps));
  }
  whole.activation = kernels::Activation::silu;
  return whole;
}

}  // namespace

GatedDelta::GatedDelta(const Config& c, const GatedDeltaConfig& g, const Weights& w,
                       BlockNorms norms, Demands& demands)
    : norms_(std::move(norms)),
      config_(g),
      in_(load_projections(c, g, w)),
      qkvz_fused_(w["in_proj_qkvz"].has()),
      ba_fused_(w["in_proj_ba"].has()) {
  ops::GatedDeltaSpec delta{.n_key_heads = g.n_key_heads,
                            .n_value_heads = g.n_value_heads,
                            .key_dim = g.key_dim,
                            .value_dim = g.value_dim,
                            .tiled_heads = g.tiled_heads,
                            .decay = load_decay(w, g.n_value_heads),
                            .dt_bias = nullptr,
                            .by_channel = g.by_channel,
                            .least_log_decay = g.least_log_decay,
                            .beta_scale = g.beta_scale};
  const int64_t values = delta.value_floats(), decays = delta.decay_floats();
  delta.dt_bias = w["dt_bias"].values(decays);
  z_up_ = load_up(w["g_b_proj"], g.key_dim, values);
  a_up_ = load_up(w["f_b_proj"], g.key_dim, decays);
  ops::CausalConvSpec conv = load_convs(w, delta, g.n_taps);
  norm_ = {first_of(w, {"norm", "o_norm"})["weight"].vector(g.value_dim), 0.0F,
           g.norm_eps > 0 ? g.norm_eps : c.rms_norm_eps};
  out_ = linear(first_of(w, {"out_proj", "o_proj"}), values, c.hidden_size);
  conv_slot_ = demands.kept.add_state(conv.state_floats());
  delta_slot_ = demands.kept.add_recurrence(delta.state_floats());
  const int64_t heads = 2 * g.n_value_heads + decays;
  const int64_t twice = qkvz_fused_ || in_.size() == 6 ? delta.row_floats() + values : 0;
  demands.add_rows(2 * delta.row_floats() + 2 * values + 2 * heads + twice, values);
  conv_ = std::make_shared<const ops::CausalConvSpec>(std::move(conv));
  delta_ = std::make_shared<const ops::GatedDeltaSpec>(std::move(delta));
}

GatedDelta::Projected GatedDelta::take_apart(const std::vector<mx::array>& in,
                                             const ops::Context& context) const {
  const GatedDeltaConfig& g = config_;
  const auto take = [&](const mx::array& of, Columns columns) {
    return ops::take_columns(context, of, std::move(columns));
  };
  const int64_t d = g.key_dim, each = g.n_value_heads / g.n_key_heads, values = each * g.value_dim;
  const auto qkv_and_z = [&]() -> std::pair<mx::array, mx::array> {
    if (!qkvz_fused_) return {in[0], in[1]};
    // Of each key head: its query, key, values and gates.
    const int64_t stride = 2 * (d + values);
    Columns qkv = ops::of_each_head(g.n_key_heads, stride, 0, d);
    for (const Columns& more : {ops::of_each_head(g.n_key_heads, stride, d, d),
                                ops::of_each_head(g.n_key_heads, stride, 2 * d, values)})
      qkv.insert(qkv.end(), more.begin(), more.end());
    return {take(in[0], std::move(qkv)),
            take(in[0], ops::of_each_head(g.n_key_heads, stride, 2 * d + values, values))};
  };
  const auto a_and_b = [&]() -> std::pair<mx::array, mx::array> {
    if (!ba_fused_) return {in[in.size() - 2], in.back()};
    // Of each key head: b of its values, then a.
    return {take(in.back(), ops::of_each_head(g.n_key_heads, 2 * each, each, each)),
            take(in.back(), ops::of_each_head(g.n_key_heads, 2 * each, 0, each))};
  };
  const auto [qkv, z] = qkv_and_z();
  const auto [a, b] = a_and_b();
  return {qkv, z, a, b};
}

GatedDelta::Projected GatedDelta::project(const mx::array& x, const Step& step) const {
  const ops::Context& context = step.context;
  std::vector<mx::array> in = ops::project(context, x, norms_.pre, in_);
  if (in.size() == 6) {  // q, k and v apart
    in[2] = ops::join_heads(context, ops::join_heads(context, in[0], in[1], 1), in[2], 1);
    in.erase(in.begin(), in.begin() + 2);
  }
  Projected all = take_apart(in, context);
  if (!z_up_.empty()) all.z = ops::project(context, all.z, std::nullopt, z_up_)[0];
  if (!a_up_.empty()) all.a = ops::project(context, all.a, std::nullopt, a_up_)[0];
  return all;
}

mx::array GatedDelta::operator()(const mx::array& x, const mx::array& residual,
                                 const Step& step) const {
  const Projected in = project(x, step);
  const ops::Context& context = step.context;
  const mx::array qkv = ops::causal_conv(context, in.qkv, conv_, step.layout.layers[conv_slot_],
                                         step.states(conv_slot_));
  const mx::array y = ops::gated_delta(context, qkv, in.a, in.b, delta_,
                                       step.layout.layers[delta_slot_], step.states(delta_slot_));
  return ops::project_onto(context, ops::norm_and_gate(context, y, in.z, norm_, config_.gate), out_,
                           norms_.end(), residual);
}

}  // namespace sluice::nn
