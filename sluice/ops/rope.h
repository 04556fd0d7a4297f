#pragma once

#include <functional>
#include <optional>

#include "sluice/ops/linear.h"
#include "sluice/ops/rounding.h"

namespace sluice::ops {

/// Radians by which pair `pair` of a token at `position` is rotated.
using RopeAngle = std::function<double(int64_t position, int64_t pair)>;

/// The rotation angles of this step's tokens, computed once per step and kind of RoPE.
/// Returns float32 [2, T, n_pairs]: cos, then sin of angle(positions[t], pair), both times `magnitude`.
mx::array rope_angles(const Context& context, std::shared_ptr<const std::vector<int64_t>> positions,
                      int64_t n_pairs, float magnitude, RopeAngle angle);

/// What happens to each query or key head before attention: an optional RMS norm per head, then the
/// rotary embedding (Su et al. 2021, arXiv:2104.09864) of its first 2 * n_pairs elements.
struct HeadTransform {
  Vector norm = nullptr;  ///< [head_dim], or null
  float norm_offset = 0.0F;
  float norm_eps = 0.0F;
  bool norm_last = false;              ///< after the rotation
  bool interleaved = false;            ///< pairs (2i, 2i + 1) instead of (i, i + n_pairs)
  bool rotates_end = false;            ///< the last 2 * n_pairs elements instead of the first
  Rounding rounding = Rounding::none;  ///< of the result
};

/// out[head_dim] = the head `in`, transformed; cos, sin: [n_pairs], its token's. The two must not overlap.
void transform_head(const kernels::KernelTable& table, const HeadTransform& transform,
                    const float* in, int64_t head_dim, const float* cos, const float* sin,
                    int64_t n_pairs, float* out);

/// Every head of x, transformed. x: float32 [T, n_heads * head_dim]; angles: rope_angles' result, or none for no rotation.
mx::array transform_heads(const Context& context, const mx::array& x, int64_t n_heads,
                          const HeadTransform& transform, const std::optional<mx::array>& angles);

}  // namespace sluice::ops
