#pragma once

#include <mlx/array.h>

#include <optional>
#include <vector>

#include "sluice/ops/norm.h"

namespace sluice::ops {

/// A row in another basis: H(signs x), or signs H(x) back, where H is the Walsh-Hadamard transform of each `block` elements,
/// divided by the root of `block` (as in QuaRot, arXiv:2404.00456).
struct Rotation {
  int64_t block = 0;  ///< a power of two
  Vector signs;       ///< [width]; null: there is no rotation
};

/// y = rotation(x) w^T (+ bias).
struct Projection {
  residency::Weight weight;
  Vector bias;  ///< [weight.rows], or null
  Rotation rotation = {};
};

/// Each row back from the rotation. x: float32 [T, width].
mx::array rotate_back(const Context& context, const mx::array& x, const Rotation& rotation);

/// Projections of the same x, after an optional norm. x: float32 [T, cols]; returns float32 [T, rows] for each.
std::vector<mx::array> project(const Context& context, const mx::array& x,
                               const std::optional<Norm>& norm,
                               const std::vector<Projection>& projections);

/// The projection onto the vocabulary: project(), from finer activations where those are refined.
mx::array logits(const Context& context, const mx::array& x, const std::optional<Norm>& norm,
                 const Projection& head);

/// residual + end(x w^T + bias). residual: float32 [T, rows].
mx::array project_onto(const Context& context, const mx::array& x, const Projection& projection,
                       const BlockEnd& end, const mx::array& residual);

/// Rows of an embedding table, times `scale`. tokens: int32 [T], each below table.rows (checked: an id out of
/// range sets the step's error). Returns float32 [T, table.cols].
mx::array embedding(const Context& context, const mx::array& tokens, const residency::Weight& table,
                    float scale);

}  // namespace sluice::ops
