#pragma once

#include <mlx/array.h>

#include <optional>

#include "sluice/ops/attention.h"

namespace sluice::ops {

/// Rows that stand for layout.ratio tokens each, kept by keep_rows(), and those of them that a token attends.
struct CompressedRows {
  KvLayerLayout layout;
  KvView kv;
  Selection chosen;
};

/// Attention of all heads to the same rows, which are keys and values at once (DeepSeek-V4.1): those of a window of tokens, then
/// the compressed ones that were chosen. q: float32 [T, n_heads * head_dim]; rows: what keep_rows() gave, of which `layout` is.
/// Of the spec: n_heads, scale, window, sinks and what happens to queries. Returns q's shape.
mx::array attend_compressed(const Context& context, const mx::array& q, const mx::array& rows,
                            const std::optional<mx::array>& angles, const AttentionSpec& spec,
                            const KvLayerLayout& layout, KvView kv,
                            const std::optional<CompressedRows>& compressed);

}  // namespace sluice::ops
