#include "sluice/nn/griffin.h"

#include <array>
#include <cmath>

#include "sluice/base/error.h"
#include "sluice/nn/conv.h"
#include "sluice/nn/linear.h"
#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

/// Of a tensor of three axes at w.leaf.
std::array<int64_t, 3> three_sizes(const Weights& w, const char* leaf) {
  const std::span<const int64_t> shape = w.shape(leaf);
  if (shape.size() != 3 || shape[0] < 1 || shape[1] < 1 || shape[2] < 1)
    fail(ErrorKind::bad_model, "{}.{}: is {}, wanted three axes", w.path(), leaf,
         io::shape_text(shape));
  return {shape[0], shape[1], shape[2]};
}

/// One matrix for each head, of which a column is what an output is made of.
std::shared_ptr<const ops::PerHead> load_gate(const Weights& unit, const char* name,
                                              int64_t width) {
  const int64_t n_heads = three_sizes(unit, name)[0], n = width / n_heads;
  return std::make_shared<const ops::PerHead>(
      ops::PerHead{unit[name].matrices(n_heads, n, n), n_heads, n, 0, n, true});
}

/// -8 softplus(a_param).
ops::Vector log_decays(const Weights& w, int64_t width) {
  std::vector<float> values = *w.values(width);
  for (float& value : values) value = -8 * std::log1p(std::exp(value));
  return std::make_shared<const std::vector<float>>(std::move(values));
}

}  // namespace

Griffin::Griffin(const Config& c, const Weights& w, BlockNorms norms, Demands& demands)
    : norms_(std::move(norms)) {
  const Weights conv_1d = w["conv_1d"], unit = w["rg_lru"];
  const auto [width, taps, one] = three_sizes(conv_1d, "weight");
  const int64_t n_taps = taps * one;  // or the other way round
  in_ = {linear(w["linear_x"], c.hidden_size, width), linear(w["linear_y"], c.hidden_size, width)};
  conv_ = std::make_shared<const ops::CausalConvSpec>(load_conv(conv_1d, width, n_taps));
  input_gate_ = load_gate(unit, "input_gate_weight", width);
  recurrent_gate_ = load_gate(unit, "recurrent_gate_weight", width);
  recurrence_ = std::make_shared<const ops::GatedRecurrenceSpec>(
      ops::GatedRecurrenceSpec{.n_channels = width,
                               .log_decay = log_decays(unit["recurrent_param"], width),
                               .input_bias = unit["input_gate_bias"].values(width),
                               .recurrent_bias = unit["recurrent_gate_bias"].values(width)});
  out_ = linear(w["linear_out"], width, c.hidden_size);
  conv_slot_ = demands.kept.add_state(conv_->state_floats());
  state_slot_ = demands.kept.add_recurrence(width);
  demands.add_rows(6 * width, width);
}

mx::array Griffin::operator()(const mx::array& x, const Step& step) const {
  const ops::Context& context = step.context;
  const std::vector<mx::array> in = ops::project(context, x, norms_.pre, in_);
  const mx::array u = ops::causal_conv(context, in[0], conv_, step.layout.layers[conv_slot_],
                                       step.states(conv_slot_));
  const mx::array y =
      ops::gated_recurrence(context, u, ops::project_per_head(context, u, input_gate_),
                            ops::project_per_head(context, u, recurrent_gate_), recurrence_,
                            step.layout.layers[state_slot_], step.states(state_slot_));
  const mx::array gated = ops::apply_gate(context, y, in[1], kernels::Activation::gelu_tanh);
  return ops::project_onto(context, gated, out_, norms_.end(), x);
}

}  // namespace sluice::nn
