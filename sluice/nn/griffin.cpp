#include "sluice/nn/griffin.h"

#include <cmath>

#include "sluice/base/error.h"
#include "sluice/nn/conv.h"
#include "sluice/nn/linear.h"
#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

/// Sizes that the tensor has at an axis. Throws Error(bad_model) where it has no such axis.
int64_t size_at(const Weights& w, size_t axis, const char* wanted) {
  const std::span<const int64_t> shape = w.shape();
  if (shape.size() != 3 || shape[axis] < 1)
    fail(ErrorKind::bad_model, "{}: is {}, wanted {}", w.path(), io::shape_text(shape), wanted);
  return shape[axis];
}

/// One matrix for each head, of which a column is what an output is made of.
std::shared_ptr<const ops::PerHead> load_gate(const Weights& w, int64_t width) {
  const int64_t n_heads = size_at(w, 0, "[heads, width, width]"), n = width / n_heads;
  return std::make_shared<const ops::PerHead>(
      ops::PerHead{w.matrices(n_heads, n, n), n_heads, n, 0, n, true});
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
  const int64_t width = size_at(conv_1d, 0, "[channels, taps, 1]");
  const int64_t n_taps =
      size_at(conv_1d, 1, "taps") * size_at(conv_1d, 2, "taps");  // whichever of both is 1
  in_ = {linear(w["linear_x"], c.hidden_size, width), linear(w["linear_y"], c.hidden_size, width)};
  conv_ = std::make_shared<const ops::CausalConvSpec>(load_conv(conv_1d, width, n_taps));
  input_gate_ = load_gate(unit["input_gate_weight"], width);
  recurrent_gate_ = load_gate(unit["recurrent_gate_weight"], width);
  recurrence_ = std::make_shared<const ops::GatedRecurrenceSpec>(
      ops::GatedRecurrenceSpec{.n_channels = width,
                               .log_decay = log_decays(unit["recurrent_param"], width),
                               .input_bias = unit["input_gate_bias"].values(width),
                               .recurrent_bias = unit["recurrent_gate_bias"].values(width)});
  out_ = linear(w["linear_out"], width, c.hidden_size);
  conv_slot_ = demands.kept.add_state(conv_->state_floats());
  state_slot_ = demands.kept.add_state(width);
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
