#pragma once

#include "sluice/ops/matmul.h"

namespace sluice::ops {

/// What joins the two projections of a gated linear unit (Shazeer 2020, arXiv:2002.05202).
struct GatedActivation {
  kernels::Activation activation = kernels::Activation::silu;
  float limit = 0.0F;  ///< swiglu_clipped's bound
};

/// The two projections, in memory; biases may be null. gate has no rows where the unit has none.
struct GateUp {
  kernels::Matrix gate, up;
  const float *gate_bias = nullptr, *up_bias = nullptr;
};

/// Columns [begin, begin + count) of act(x gate^T) * (x up^T), or of act(x up^T) without a gate, put into rows [first, first + x.n) of `out`.
/// On the calling thread; begin is a multiple of 32, count too but at the end.
void gated_part(const Context& context, GatedActivation activation, const GateUp& w, const Rows& x,
                int64_t begin, int64_t count, const NewRows& out, int64_t first);

}  // namespace sluice::ops
