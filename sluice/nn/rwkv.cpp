#include "sluice/nn/rwkv.h"

#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/nn/linear.h"
#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

/// Of a low-rank projection's first matrix.
int64_t rank_of(const Weights& w) {
  const std::span<const int64_t> shape = w.shape();
  if (shape.size() != 2) fail(ErrorKind::bad_model, "{}: has no matrix of a low rank", w.path());
  return shape[0];
}

/// [n_heads, head_dim] of the heads. head_dim: where the files have r_k's heads in one row.
std::pair<int64_t, int64_t> heads_of(const Weights& w, int64_t width, int64_t head_dim) {
  const std::span<const int64_t> shape = w.shape("r_k");
  if (shape.size() == 1 && head_dim > 0 && width % head_dim == 0)
    return {width / head_dim, head_dim};
  if (shape.size() != 2 || shape[0] < 1 || shape[0] * shape[1] != width)
    fail(ErrorKind::bad_model, "{}.r_k: is {}, wanted heads that make {}", w.path(),
         io::shape_text(shape), width);
  return {shape[0], shape[1]};
}

std::shared_ptr<const ops::GatedMlpSpec> without_gate(ops::Projection up, ops::Projection down,
                                                      kernels::Activation activation) {
  return std::make_shared<const ops::GatedMlpSpec>(
      ops::GatedMlpSpec{.pre = {},
                        .end = {},
                        .gate = {},
                        .up = std::move(up),
                        .down = std::move(down),
                        .activation = {activation, 0}});
}

}  // namespace

TokenShift::TokenShift(int64_t width, Demands& demands) {
  std::vector<float> taps(static_cast<size_t>(2 * width));
  std::fill_n(taps.begin(), width, 1.0F);
  conv_ = std::make_shared<const ops::CausalConvSpec>(
      ops::CausalConvSpec{.n_channels = width,
                          .n_taps = 2,
                          .weight = std::make_shared<const std::vector<float>>(std::move(taps)),
                          .bias = nullptr,
                          .activation = std::nullopt});
  slot_ = demands.kept.add_state(conv_->state_floats());
}

mx::array TokenShift::operator()(const mx::array& x, const Step& step) const {
  return ops::causal_conv(step.context, x, conv_, step.layout.layers[slot_], step.states(slot_));
}

TimeMix::LowRank TimeMix::load_low_rank(const Weights& w, int64_t width) {
  const Weights lora = w["lora"];
  if (!lora["0"].has()) return {};
  const int64_t rank = rank_of(lora["0"]);
  return {{linear(lora["0"], width, rank)}, {linear(lora["2"], rank, width)}};
}

TimeMix::TimeMix(const Config& c, int64_t layer, const Weights& w, ops::Norm norm, Demands& demands)
    : norm_(std::move(norm)), shift_(c.hidden_size, demands) {
  const int64_t width = c.hidden_size;
  const ops::Vector fused = w.has("x_x") ? w["x_x"].values(6 * width) : nullptr;
  for (int64_t i = 0; const auto& [name, mix] : {std::pair{"x_r", &mix_r_},
                                                 {"x_w", &mix_w_},
                                                 {"x_k", &mix_k_},
                                                 {"x_v", &mix_v_},
                                                 {"x_a", &mix_a_},
                                                 {"x_g", &mix_g_}})
    *mix = fused ? part(fused, i++ * width, width) : w[name].values(width);
  r_ = {linear(w["r_proj"], width, width)};
  decay_ = load_low_rank(w["w_lora"], width);
  k_ = {linear(w["k_proj"], width, width)};
  v_ = {linear(w["v_proj"], width, width)};
  if (layer > 0) {
    value_ = load_low_rank(w["v_lora"], width);
  } else {
    for (const char* matrix : {"0", "2"}) w["v_lora"]["lora"][matrix].pass_over();
  }
  a_ = load_low_rank(w["a_lora"], width);
  const Weights gate = w["g_lora"]["lora"];
  const int64_t rank = rank_of(gate["0"]);
  gate_ = without_gate(linear(gate["0"], width, rank), linear(gate["2"], rank, width),
                       kernels::Activation::sigmoid);
  o_ = linear(w["o_proj"], width, width);
  if (decay_.down.empty() || a_.down.empty())
    fail(ErrorKind::bad_model, "{}: w_lora or a_lora is missing", w.path());
  const auto [n_heads, head_dim] = heads_of(w, width, c.rwkv_head_dim);
  constexpr float kNormEps = 64e-5F;
  spec_ = std::make_shared<const ops::Rwkv7Spec>(
      ops::Rwkv7Spec{.n_heads = n_heads,
                     .head_dim = head_dim,
                     .key_scale = w["k_k"].values(width),
                     .key_mix = w["k_a"].values(width),
                     .bonus = w["r_k"].values(width),
                     .norm = {.weight = w["g_norm"]["weight"].values(width),
                              .weight_offset = 0,
                              .eps = kNormEps,
                              .centered = true,
                              .bias = w["g_norm"]["bias"].values(width)}});
  slot_ = demands.kept.add_recurrence(spec_->state_floats());
  demands.add_rows(16 * width, width);
  demands.add_mlp(rank);
}

TimeMix::Result TimeMix::operator()(const mx::array& x, const std::optional<mx::array>& first,
                                    const Step& step) const {
  const ops::Context& context = step.context;
  const mx::array u = ops::rms_norm(context, x, norm_);
  const mx::array before = shift_(u, step);
  const auto mixed = [&](const ops::Vector& share) {
    return ops::mix_rows(context, u, before, share);
  };
  const auto project = [&](const mx::array& of, const std::vector<ops::Projection>& by) {
    return ops::project(context, of, std::nullopt, by)[0];
  };
  const mx::array low = ops::soft_cap(context, project(mixed(mix_w_), decay_.down), 1);  // tanh
  const mx::array of_value = mixed(mix_v_);
  mx::array v = project(of_value, v_);
  if (first) {
    if (value_.down.empty()) fail(ErrorKind::bad_model, "attn.v_lora is missing in a later layer");
    v = ops::mix_by_sigmoid(context, v, *first, project(project(of_value, value_.down), value_.up));
  }
  const ops::Rwkv7Inputs in{.r = project(mixed(mix_r_), r_),
                            .w = project(low, decay_.up),
                            .k = project(mixed(mix_k_), k_),
                            .v = v,
                            .a = project(project(mixed(mix_a_), a_.down), a_.up)};
  const mx::array y = ops::rwkv7(context, in, spec_, step.layout.layers[slot_], step.states(slot_));
  const mx::array gate = ops::gated_mlp(context, mixed(mix_g_), gate_, false);
  return {ops::project_onto(context, ops::multiply(context, y, gate), o_, {}, x), v};
}

ChannelMix::ChannelMix(const Config& c, const Weights& w, ops::Norm norm, Demands& demands)
    : norm_(std::move(norm)), shift_(c.hidden_size, demands), mix_(w["x_k"].values(c.hidden_size)) {
  const int64_t inner = rank_of(w["key"]);
  mlp_ = without_gate(linear(w["key"], c.hidden_size, inner),
                      linear(w["value"], inner, c.hidden_size), kernels::Activation::relu_squared);
  demands.add_mlp(inner);
  demands.add_rows(4 * c.hidden_size, c.hidden_size);
}

mx::array ChannelMix::operator()(const mx::array& x, const Step& step) const {
  const ops::Context& context = step.context;
  const mx::array u = ops::rms_norm(context, x, norm_);
  const mx::array mixed = ops::mix_rows(context, u, shift_(u, step), mix_);
  return ops::add(context, ops::gated_mlp(context, mixed, mlp_, false), x);
}

}  // namespace sluice::nn
