#pragma once

#include <mlx/array.h>

#include <memory>
#include <vector>

#include "sluice/ops/context.h"

namespace sluice::ops {

/// Values kept in memory as float32 (norm weights, biases): small, and used by every token.
using Vector = std::shared_ptr<const std::vector<float>>;

/// y[t] = w @ x[t] (+ bias). x: float32 [T, w.cols]; returns float32 [T, w.rows]. bias may be null.
mx::array linear(const Context& context, const mx::array& x, const residency::Weight& w,
                 const Vector& bias);

/// Rows of an embedding table, times `scale`. tokens: int32 [T], each below table.rows (checked: an id out of
/// range sets the step's error). Returns float32 [T, table.cols].
mx::array embedding(const Context& context, const mx::array& tokens, const residency::Weight& table,
                    float scale);

/// y[t * y_stride + r] = w[r] . x[t], rows split over the pool. Called by primitives' bodies.
void parallel_matmul(const Context& context, const kernels::Matrix& w, const float* x,
                     int64_t n_tokens, float* y, int64_t y_stride);

}  // namespace sluice::ops
