#pragma once

#include "sluice/nn/weights.h"
#include "sluice/ops/linear.h"

namespace sluice::nn {

/// What inputs of the projection at `w`, [in], are rotated by, where the table says so. Throws Error(bad_model).
ops::Rotation rotation(const Weights& w, int64_t in);

/// y = x @ weight^T (+ bias, when the files have one): the projection at `w`.
/// Throws Error(bad_model) unless it holds a [out, in] matrix.
inline ops::Projection linear(const Weights& w, int64_t in, int64_t out) {
  return {w.matrix(out, in), w["bias"].optional_vector(out), rotation(w, in)};
}

/// Rows [begin, begin + out) of a fused projection [total, in].
ops::Projection linear_part(const Weights& w, int64_t in, int64_t total, int64_t begin,
                            int64_t out);

}  // namespace sluice::nn
