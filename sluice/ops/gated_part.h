#pragma once

#include "sluice/ops/gated_activation.h"
#include "sluice/ops/matmul.h"

namespace sluice::ops {

/// The two projections, in memory; biases may be null. gate has no rows where the unit has none.
struct GateUp {
  kernels::Matrix gate, up;
  const float *gate_bias = nullptr, *up_bias = nullptr;
};

/// Columns [begin, begin + count) of act(x gate^T) * (x up^T), or of act(x up^T) without a gate, put into rows [first, first + x.n) of `out`.
/// On the calling thread; begin is a multiple of 32, count too but at the end.
void gated_part(const Context& context, const GatedActivation& activation, const GateUp& w,
                const Rows& x, int64_t begin, int64_t count, const NewRows& out, int64_t first);

}  // namespace sluice::ops
