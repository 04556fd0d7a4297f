#include "sluice/ops/gated_part.h"

namespace sluice::ops {

void gated_part(const Context& context, GatedActivation activation, const GateUp& w, const Rows& x,
                int64_t begin, int64_t count, const NewRows& out, int64_t first) {
  thread_local AlignedBytes memory;
  const int64_t size = x.n * count;
  auto* gate = reinterpret_cast<float*>(memory.at_least(2 * size * 4));
  float* up = gate + size;
  const auto bias_from = [begin](const float* bias) {
    return bias == nullptr ? nullptr : bias + begin;
  };
  multiply(context, rows_of(w.up, begin, count), bias_from(w.up_bias), x, up, count);
  if (w.gate.rows == 0) {
    context.kernels.activate(activation.activation, up, size, gate);
  } else {
    multiply(context, rows_of(w.gate, begin, count), bias_from(w.gate_bias), x, gate, count);
    context.kernels.gated(activation.activation, activation.limit, gate, up, size, gate);
  }
  for (int64_t t = 0; t < x.n; ++t) out.set(context, first + t, begin, count, gate + t * count);
}

}  // namespace sluice::ops
