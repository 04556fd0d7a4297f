#pragma once

#include "sluice/ops/linear.h"

namespace sluice::ops {

/// Root-mean-square norm (Zhang & Sennrich 2019, arXiv:1910.07467) of each run of `width` elements of x:
/// x / sqrt(mean(x^2) + eps) * (weight + weight_offset). width divides x's last dimension: the whole of it
/// for a layer's norm, head_dim for a norm per head. weight: [width].
mx::array rms_norm(const Context& context, const mx::array& x, const Vector& weight,
                   float weight_offset, float eps);

/// (x - mean) / sqrt(var + eps) * weight + bias over the last dimension; bias may be null.
mx::array layer_norm(const Context& context, const mx::array& x, const Vector& weight,
                     const Vector& bias, float eps);

}  // namespace sluice::ops
