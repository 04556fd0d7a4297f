#include "sluice/nn/conv.h"

#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/nn/linear.h"
#include "sluice/ops/elementwise.h"

namespace sluice::nn {

ops::CausalConvSpec load_conv(const Weights& w, int64_t n_channels, int64_t n_taps) {
  const std::span<const int64_t> shape = w.shape();
  const auto first = std::ranges::find_if(shape, [](int64_t n) { return n != 1; });
  if (n_channels != 1 && first != shape.end() && *first != n_channels)
    fail(ErrorKind::bad_model, "{}: is {}, wanted {} channels first", w.path(),
         io::shape_text(shape), n_channels);
  const ops::Vector stored = w["weight"].values(n_channels * n_taps);
  std::vector<float> by_tap(stored->size());
  for (size_t i = 0; i < stored->size(); ++i) {
    const auto taps = static_cast<size_t>(n_taps), channels = static_cast<size_t>(n_channels);
    by_tap[i % taps * channels + i / taps] = (*stored)[i];
  }
  return {.n_channels = n_channels,
          .n_taps = n_taps,
          .weight = std::make_shared<const std::vector<float>>(std::move(by_tap)),
          .bias = w["bias"].optional_vector(n_channels),
          .activation = std::nullopt};
}

ShortConv::ShortConv(const Config& c, const ShortConvConfig& s, const Weights& w, BlockNorms norms,
                     Demands& demands)
    : norms_(std::move(norms)), out_(linear(w["out_proj"], c.hidden_size, c.hidden_size)) {
  const int64_t n = c.hidden_size;
  for (int64_t i = 0; i < 3; ++i) in_.push_back(linear_part(w["in_proj"], n, 3 * n, i * n, n));
  conv_ = std::make_shared<const ops::CausalConvSpec>(load_conv(w["conv"], n, s.n_taps));
  slot_ = demands.kept.add_state(conv_->state_floats());
  demands.add_rows(4 * n, n);
}

mx::array ShortConv::operator()(const mx::array& x, const Step& step) const {
  const ops::Context& context = step.context;
  const std::vector<mx::array> in = ops::project(context, x, norms_.pre, in_);
  const mx::array y = ops::causal_conv(context, ops::multiply(context, in[2], in[0]), conv_,
                                       step.layout.layers[slot_], step.states(slot_));
  return ops::project_onto(context, ops::multiply(context, y, in[1]), out_, norms_.end(), x);
}

}  // namespace sluice::nn
