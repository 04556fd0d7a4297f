#include "sluice/ops/gated_part.h"

#include <algorithm>
#include <cmath>

namespace sluice::ops {
namespace {

void activate(const Context& context, const GatedActivation& how, const float* x, int64_t n,
              float* y) {
  if (!how.xielu) return context.kernels.activate(how.activation, x, n, y);
  const Xielu& f = *how.xielu;
  for (int64_t i = 0; i < n; ++i) {
    const float curved =
        x[i] > 0 ? f.p * x[i] * x[i] : (std::expm1(std::min(x[i], f.eps)) - x[i]) * f.n;
    y[i] = curved + f.beta * x[i];
  }
}

void join_situ(const GatedActivation& how, const float* gate, const float* up, int64_t n,
               float* y) {
  for (int64_t i = 0; i < n; ++i) {
    const float bounded = how.situ * std::tanh(gate[i] / how.situ) / (1 + std::exp(-gate[i]));
    y[i] = bounded *
           (how.situ_linear > 0 ? how.situ_linear * std::tanh(up[i] / how.situ_linear) : up[i]);
  }
}

/// y may be gate.
void join(const Context& context, const GatedActivation& how, const float* gate, const float* up,
          int64_t n, float* y) {
  if (how.situ > 0) return join_situ(how, gate, up, n, y);
  if (how.bound > 0) {
    for (int64_t i = 0; i < n; ++i) y[i] = std::min(gate[i], how.bound);
    context.kernels.activate(how.activation, y, n, y);
    for (int64_t i = 0; i < n; ++i) y[i] *= std::clamp(up[i], -how.bound, how.bound);
    return;
  }
  if (how.clamp <= 0) return context.kernels.gated(how.activation, how.limit, gate, up, n, y);
  context.kernels.activate(how.activation, gate, n, y);
  for (int64_t i = 0; i < n; ++i)
    y[i] = std::min(y[i], how.clamp) * std::clamp(up[i], -how.clamp, how.clamp);
}

}  // namespace

void gated_part(const Context& context, const GatedActivation& activation, const GateUp& w,
                const Rows& x, int64_t begin, int64_t count, const NewRows& out, int64_t first) {
  thread_local AlignedBytes memory;
  const int64_t size = x.n * count;
  auto* gate = reinterpret_cast<float*>(memory.at_least(2 * size * 4));
  float* up = gate + size;
  const auto bias_from = [begin](const float* bias) {
    return bias == nullptr ? nullptr : bias + begin;
  };
  multiply(context, rows_of(w.up, begin, count), bias_from(w.up_bias), x, up, count);
  if (w.gate.rows == 0) {
    activate(context, activation, up, size, gate);
  } else {
    multiply(context, rows_of(w.gate, begin, count), bias_from(w.gate_bias), x, gate, count);
    join(context, activation, gate, up, size, gate);
  }
  for (int64_t t = 0; t < x.n; ++t) out.set(context, first + t, begin, count, gate + t * count);
}

}  // namespace sluice::ops
