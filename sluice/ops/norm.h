#pragma once

#include <mlx/array.h>

#include <optional>

#include "sluice/ops/context.h"
#include "sluice/ops/scratch.h"

namespace sluice::ops {

/// Root-mean-square norm (Zhang & Sennrich 2019, arXiv:1910.07467) of runs of width() elements:
/// x / sqrt(mean(x^2) + eps) * (weight + weight_offset). Or, centered, the layer norm (Ba et al. 2016, arXiv:1607.06450):
/// (x - mean) / sqrt(variance + eps) * weight + bias.
struct Norm {
  Vector weight;
  float weight_offset = 0.0F;  ///< 0 when centered
  float eps = 0.0F;
  bool centered = false;
  Vector bias = nullptr;  ///< of a centered one, or null
  int64_t n_heads =
      1;  ///< weights are those of so many runs, which follow each other; there is no bias then

  int64_t width() const { return static_cast<int64_t>(weight->size()) / n_heads; }
  /// One run, which is the head'th of its row; y may be x.
  void operator()(const kernels::KernelTable& kernels, const float* x, float* y,
                  int64_t head = 0) const noexcept {
    const float* const weights = weight->data() + head * width();
    if (centered) {
      kernels.layer_norm(x, weights, bias ? bias->data() : nullptr, width(), eps, y);
    } else {
      kernels.rms_norm(x, weights, weight_offset, width(), eps, y);
    }
  }
};

/// What becomes of a block's result before it is added to the residual.
struct BlockEnd {
  std::optional<Norm> norm;
  float scale = 1.0F;
};

/// The norm of each run of norm.width() elements of x: width divides x's last dimension.
mx::array rms_norm(const Context& context, const mx::array& x, const Norm& norm);

/// n runs from x to y, split over the pool; y may be x. For bodies of primitives.
void norm_rows(const Context& context, const Norm& norm, const float* x, int64_t n, float* y);

}  // namespace sluice::ops
