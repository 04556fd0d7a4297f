#include "sluice/nn/hyper_connection.h"

namespace sluice::nn {

HyperConnection::HyperConnection(const Config& c, const Weights& w, Demands& demands)
    : streams_{c.hyper.n, c.hidden_size} {
  const int64_t n = c.hyper.n, width = n * c.hidden_size, mixed = 2 * n + n * n;
  norm_ = {.weight = ones(width), .eps = c.rms_norm_eps};
  projection_ = {{w["fn"].matrix(mixed, width), nullptr}};
  spec_ = {.iterations = c.hyper.iterations,
           .eps = c.hyper.eps,
           .scale = w["scale"].vector(3),
           .base = w["base"].vector(mixed)};
  demands.add_rows(3 * width + 2 * mixed + c.hidden_size, width);
}

mx::array HyperConnection::mix(const mx::array& x, const Step& step) const {
  const mx::array projected = ops::project(step.context, x, norm_, projection_)[0];
  return ops::hyper_mix(step.context, projected, spec_, streams_);
}

}  // namespace sluice::nn
