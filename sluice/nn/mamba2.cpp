#include "sluice/nn/mamba2.h"

#include <cmath>

#include "sluice/nn/conv.h"
#include "sluice/nn/linear.h"
#include "sluice/ops/elementwise.h"

namespace sluice::nn {

ops::Vector load_decay(const Weights& w, int64_t n) {
  const bool is_log = !w.has("A");
  std::vector<float> decay = *w[is_log ? "A_log" : "A"].values(n);
  for (float& value : decay) value = -(is_log ? std::exp(value) : std::abs(value));
  return std::make_shared<const std::vector<float>>(std::move(decay));
}

namespace {

/// A channel's taps times what scales the channel: the convolution is linear. mixed: x, then B and C of all groups.
ops::Vector scaled_taps(const ops::CausalConvSpec& conv, const ops::Mamba2Spec& m,
                        const std::array<float, 5>& scales) {
  std::vector<float> taps = *conv.weight;
  const int64_t b = m.inner(), c = b + m.n_groups * m.state_dim;
  for (size_t i = 0; i < taps.size(); ++i) {
    const auto channel = static_cast<int64_t>(i) % conv.n_channels;
    taps[i] *= channel < b ? scales[1] : channel < c ? scales[2] : scales[3];
  }
  return std::make_shared<const std::vector<float>>(std::move(taps));
}

mx::array scaled(const ops::Context& context, const mx::array& x, float factor) {
  return factor == 1 ? x : ops::scale(context, x, factor);
}

}  // namespace

Mamba2::Mamba2(const Config& c, const Mamba2Config& m, const Weights& w, BlockNorms norms,
               Demands& demands)
    : norms_(std::move(norms)), n_norm_groups_(m.n_norm_groups), scales_(m.scales) {
  norms_.scale *= m.out_scale;
  ops::Mamba2Spec mamba{
      .n_heads = m.n_heads,
      .head_dim = m.head_dim,
      .state_dim = m.state_dim,
      .n_groups = m.n_groups,
      .decay = load_decay(w, m.n_heads),
      .dt_bias = (w.has("dt_bias") ? w["dt_bias"] : w["dt_proj"]["bias"]).vector(m.n_heads),
      .d = w["D"].values(m.n_heads),
      .least_dt = m.least_dt,
      .most_dt = m.most_dt};
  const int64_t inner = mamba.inner(), mixed = mamba.row_floats();
  const int64_t all = inner + mixed + m.n_heads;
  in_ = {linear_part(w["in_proj"], c.hidden_size, all, 0, inner),
         linear_part(w["in_proj"], c.hidden_size, all, inner, mixed),
         linear_part(w["in_proj"], c.hidden_size, all, inner + mixed, m.n_heads)};
  if (n_norm_groups_ > 0) norm_ = {w["norm"]["weight"].values(inner), 0.0F, c.rms_norm_eps};
  out_ = linear(w["out_proj"], inner, c.hidden_size);
  ops::CausalConvSpec conv = load_conv(w["conv1d"], mixed, m.n_taps);
  conv.activation = kernels::Activation::silu;
  conv.weight = scaled_taps(conv, mamba, scales_);
  conv_slot_ = demands.kept.add_state(conv.state_floats());
  mamba_slot_ = demands.kept.add_recurrence(mamba.state_floats());
  demands.add_rows(2 * mixed + 2 * inner + m.n_heads, inner);
  conv_ = std::make_shared<const ops::CausalConvSpec>(std::move(conv));
  mamba_ = std::make_shared<const ops::Mamba2Spec>(std::move(mamba));
}

mx::array Mamba2::operator()(const mx::array& x, const mx::array& residual,
                             const Step& step) const {
  const ops::Context& context = step.context;
  const std::vector<mx::array> in = ops::project(context, x, norms_.pre, in_);
  const mx::array z = scaled(context, in[0], scales_[0]);
  const mx::array xbc = ops::causal_conv(context, in[1], conv_, step.layout.layers[conv_slot_],
                                         step.states(conv_slot_));
  const mx::array y = ops::mamba2(context, xbc, scaled(context, in[2], scales_[4]), mamba_,
                                  step.layout.layers[mamba_slot_], step.states(mamba_slot_));
  constexpr auto kGate = kernels::Activation::silu;
  const mx::array gated = n_norm_groups_ > 0
                              ? ops::gate_and_norm(context, y, z, kGate, norm_, n_norm_groups_)
                              : ops::apply_gate(context, y, z, kGate);
  return ops::project_onto(context, gated, out_, norms_.end(), residual);
}

}  // namespace sluice::nn
