#pragma once

#include <mlx/array.h>

#include <memory>
#include <optional>
#include <vector>

#include "sluice/ops/block_sparse.h"
#include "sluice/ops/rope.h"
#include "sluice/ops/selection.h"
#include "sluice/ops/sequence_kv.h"
#include "sluice/residency/kv_pool.h"

namespace sluice::ops {

struct AttentionSpec {
  int64_t n_heads = 0;
  float scale = 1.0F;
  float softcap = 0.0F;  ///< 0: none
  int64_t window = 0;    ///< sliding window in tokens, the token itself included; 0: unbounded
  int64_t chunk =
      0;  ///< a token sees positions of its own chunk of so many only; 0: of all. Then the window is the chunk
  Vector sinks = nullptr;       ///< [n_heads], or null (gpt-oss)
  HeadTransform query = {};     ///< what happens to each query head first
  HeadTransform key = {};       ///< and to each key head before it is stored
  Vector value_norm = nullptr;  ///< [head_dim], an RMS norm with it of each value head; or null
  bool stores = true;           ///< false: keys and values are there, another layer's
  BlockSparse sparse = {};
};

/// Transforms the heads, stores this step's keys and values in the blocks, then attends. Attention where
/// n_heads / n_kv_heads query heads share one key head (Ainslie et al. 2023, arXiv:2305.13245), causal.
/// q: float32 [T, n_heads * head_dim]; k, v: [T, n_kv_heads * head_dim]; angles: rope_angles' result, or
/// none for no rotation. Where the layout has keys only, v is not looked at. selection: the keys that a token attends, where
/// it has more than that; not with a window. Returns q's shape.
mx::array attention(const Context& context, const mx::array& q, const mx::array& k,
                    const mx::array& v, const std::optional<mx::array>& angles,
                    const AttentionSpec& spec, const KvLayerLayout& layout, KvView kv,
                    const std::optional<Selection>& selection = std::nullopt);

}  // namespace sluice::ops
