#pragma once

#include <mlx/array.h>

#include <memory>
#include <vector>

#include "sluice/ops/context.h"

namespace sluice::ops {

/// Of each of a matrix's rows; empty until they are needed.
using RowLengths = std::vector<float>;

/// Logits of a head whose rows are all 1 long, of those of the head as it is. logits: float32 [T, head.rows()], returned in
/// its shape. The first call reads the head once more and keeps its rows' lengths; later ones take them.
mx::array divide_by_lengths(const Context& context, const mx::array& logits,
                            const residency::Weight& head, std::shared_ptr<RowLengths> lengths);

}  // namespace sluice::ops
