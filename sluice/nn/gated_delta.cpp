#include "sluice/nn/gated_delta.h"

#include "sluice/nn/conv.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/mamba2.h"
#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

using Columns = std::vector<ops::Columns>;

/// qkvz, or qkv and z; then ba, or a and b.
std::vector<ops::Projection> load_projections(const Config& c, const GatedDeltaConfig& g,
                                              const Weights& w) {
  const int64_t keys = g.n_key_heads * g.key_dim, values = g.n_value_heads * g.value_dim;
  std::vector<ops::Projection> in;
  if (const Weights fused = w["in_proj_qkvz"]; fused.has()) {
    in.push_back(linear(fused, c.hidden_size, 2 * (keys + values)));
  } else {
    in.push_back(linear(w["in_proj_qkv"], c.hidden_size, 2 * keys + values));
    in.push_back(linear(w["in_proj_z"], c.hidden_size, values));
  }
  if (const Weights fused = w["in_proj_ba"]; fused.has()) {
    in.push_back(linear(fused, c.hidden_size, 2 * g.n_value_heads));
  } else {
    in.push_back(linear(w["in_proj_a"], c.hidden_size, g.n_value_heads));
    in.push_back(linear(w["in_proj_b"], c.hidden_size, g.n_value_heads));
  }
  return in;
}

}  // namespace

GatedDelta::GatedDelta(const Config& c, const GatedDeltaConfig& g, const Weights& w,
                       BlockNorms norms, Demands& demands)
    : norms_(std::move(norms)),
      config_(g),
      in_(load_projections(c, g, w)),
      qkvz_fused_(w["in_proj_qkvz"].has()),
      ba_fused_(w["in_proj_ba"].has()),
      norm_{w["norm"]["weight"].vector(g.value_dim), 0.0F, c.rms_norm_eps},
      out_(linear(w["out_proj"], g.n_value_heads * g.value_dim, c.hidden_size)) {
  ops::GatedDeltaSpec delta{.n_key_heads = g.n_key_heads,
                            .n_value_heads = g.n_value_heads,
                            .key_dim = g.key_dim,
                            .value_dim = g.value_dim,
                            .tiled_heads = g.tiled_heads,
                            .decay = load_decay(w, g.n_value_heads),
                            .dt_bias = w["dt_bias"].vector(g.n_value_heads)};
  ops::CausalConvSpec conv = load_conv(w["conv1d"], delta.row_floats(), g.n_taps);
  conv.activation = kernels::Activation::silu;
  conv_slot_ = demands.kept.add_state(conv.state_floats());
  delta_slot_ = demands.kept.add_state(delta.state_floats());
  const int64_t values = delta.value_floats();
  const int64_t heads = 2 * g.n_value_heads;
  const int64_t fused = qkvz_fused_ ? delta.row_floats() + values : 0;
  demands.add_rows(2 * delta.row_floats() + 2 * values + 2 * heads + fused, values);
  conv_ = std::make_shared<const ops::CausalConvSpec>(std::move(conv));
  delta_ = std::make_shared<const ops::GatedDeltaSpec>(std::move(delta));
}

GatedDelta::Projected GatedDelta::project(const mx::array& x, const Step& step) const {
  const ops::Context& context = step.context;
  const std::vector<mx::array> in = ops::project(context, x, norms_.pre, in_);
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

mx::array GatedDelta::operator()(const mx::array& x, const Step& step) const {
  const Projected in = project(x, step);
  const ops::Context& context = step.context;
  const mx::array qkv = ops::causal_conv(context, in.qkv, conv_, step.layout.layers[conv_slot_],
                                         step.states(conv_slot_));
  const mx::array y = ops::gated_delta(context, qkv, in.a, in.b, delta_,
                                       step.layout.layers[delta_slot_], step.states(delta_slot_));
  return ops::project_onto(context,
                           ops::norm_and_gate(context, y, in.z, norm_, kernels::Activation::silu),
                           out_, norms_.end(), x);
}

}  // namespace sluice::nn
