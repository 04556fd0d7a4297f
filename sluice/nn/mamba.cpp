#include "sluice/nn/mamba.h"

#include "sluice/nn/conv.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/mamba2.h"
#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

/// With the weights at `w`, without any, or none.
std::optional<ops::Norm> load_norm(const Weights& w, int64_t n, const Config& c,
                                   const MambaConfig& m) {
  if (w.has()) return ops::Norm{w["weight"].vector(n), 0.0F, c.rms_norm_eps};
  if (m.plain_norm_eps == 0) return std::nullopt;
  std::vector<float> ones(static_cast<size_t>(n), 1.0F);
  return ops::Norm{std::make_shared<const std::vector<float>>(std::move(ones)), 0.0F,
                   m.plain_norm_eps};
}

}  // namespace

Mamba::Mamba(const Config& c, const MambaConfig& m, const Weights& w, BlockNorms norms,
             Demands& demands)
    : norms_(std::move(norms)) {
  const int64_t inner = m.n_channels, n = m.state_dim, rank = m.dt_rank;
  for (const int64_t begin : {int64_t{0}, inner})
    in_.push_back(linear_part(w["in_proj"], c.hidden_size, 2 * inner, begin, inner));
  ops::CausalConvSpec conv = load_conv(w["conv1d"], inner, m.n_taps);
  conv.activation = kernels::Activation::silu;
  const int64_t all = rank + 2 * n;
  selects_ = {linear_part(w["x_proj"], inner, all, 0, rank),
              linear_part(w["x_proj"], inner, all, rank, n),
              linear_part(w["x_proj"], inner, all, rank + n, n)};
  dt_norm_ = load_norm(w["dt_layernorm"], rank, c, m);
  b_norm_ = load_norm(w["b_layernorm"], n, c, m);
  c_norm_ = load_norm(w["c_layernorm"], n, c, m);
  dt_ = {linear(w["dt_proj"], rank, inner)};
  ops::SelectiveScanSpec scan{.n_channels = inner,
                              .state_dim = n,
                              .decay = load_decay(w, inner * n),
                              .d = w["D"].values(inner)};
  out_ = linear(w["out_proj"], inner, c.hidden_size);
  conv_slot_ = demands.kept.add_state(conv.state_floats());
  scan_slot_ = demands.kept.add_recurrence(scan.state_floats());
  demands.add_rows(5 * inner + 2 * all, inner);
  conv_ = std::make_shared<const ops::CausalConvSpec>(std::move(conv));
  scan_ = std::make_shared<const ops::SelectiveScanSpec>(std::move(scan));
}

mx::array Mamba::operator()(const mx::array& x, const Step& step) const {
  const ops::Context& context = step.context;
  const auto normed = [&](const mx::array& of, const std::optional<ops::Norm>& norm) {
    return norm ? ops::rms_norm(context, of, *norm) : of;
  };
  const std::vector<mx::array> in = ops::project(context, x, norms_.pre, in_);
  const mx::array u = ops::causal_conv(context, in[0], conv_, step.layout.layers[conv_slot_],
                                       step.states(conv_slot_));
  const std::vector<mx::array> selects = ops::project(context, u, std::nullopt, selects_);
  const mx::array dt = ops::project(context, selects[0], dt_norm_, dt_)[0];
  const mx::array y =
      ops::selective_scan(context, u, dt, normed(selects[1], b_norm_), normed(selects[2], c_norm_),
                          scan_, step.layout.layers[scan_slot_], step.states(scan_slot_));
  const mx::array gated = ops::apply_gate(context, y, in[1], kernels::Activation::silu);
  return ops::project_onto(context, gated, out_, norms_.end(), x);
}

}  // namespace sluice::nn
