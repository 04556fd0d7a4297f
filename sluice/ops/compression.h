#pragma once

#include <mlx/array.h>

#include <optional>

#include "sluice/ops/rope.h"
#include "sluice/ops/sequence_kv.h"

// Rows that stand for several tokens (DeepSeek-V4.1): made of their tokens' rows, and kept in blocks.
namespace sluice::ops {

/// Of each token that ends a group of `ratio` positions the mean of the group's rows, element by element weighed by a softmax of
/// its gates; of the others their own row, which nobody needs. rows, gates: float32 [T, width], kept in the blocks, in float32,
/// at least as long as their group is open.
mx::array pool_groups(const Context& context, const mx::array& rows, const mx::array& gates,
                      int64_t ratio, const KvLayerLayout& layout, KvView kv);

/// Each row transformed, and in the blocks where it ends a group of layout.ratio positions. x: float32 [T, width];
/// angles: as attention()'s. Returns the transformed rows, which whoever reads the blocks must depend on.
mx::array keep_rows(const Context& context, const mx::array& x,
                    const std::optional<mx::array>& angles, const HeadTransform& transform,
                    const KvLayerLayout& layout, KvView kv);

}  // namespace sluice::ops
