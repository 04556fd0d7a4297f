#pragma once

#include <mlx/array.h>

#include <memory>
#include <optional>
#include <vector>

#include "sluice/ops/rope.h"
#include "sluice/residency/kv_pool.h"

namespace sluice::ops {

/// Where one layer's keys and values lie inside a KV block: keys [n_kv_heads, 256, head_dim] at
/// `offset`, values of the same shape right after them.
struct KvLayerLayout {
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  kernels::KvType type = kernels::KvType::f16;
  int64_t offset = 0;  ///< bytes
};

/// The tokens one sequence has in this step and the blocks that hold its keys and values.
struct SequenceKv {
  int64_t first_row = 0;  ///< its first token's row in the packed step
  int64_t n_tokens = 0;
  int64_t position = 0;  ///< absolute position of its first token
  /// blocks[i] holds positions [256 i, 256 i + 256); null where the sliding window has passed.
  std::vector<std::shared_ptr<residency::KvBlock>> blocks;
  /// Rows [0, position % 256) of the first written block come from here (it was shared with a snapshot).
  std::shared_ptr<residency::KvBlock> copy_from;
};

using KvView = std::shared_ptr<const std::vector<SequenceKv>>;

struct AttentionSpec {
  int64_t n_heads = 0;
  float scale = 1.0F;
  float softcap = 0.0F;      ///< 0: none
  int64_t window = 0;        ///< sliding window in tokens, the token itself included; 0: unbounded
  Vector sinks = nullptr;    ///< [n_heads], or null (gpt-oss)
  HeadTransform query = {};  ///< what happens to each query head first
  HeadTransform key = {};    ///< and to each key head before it is stored
};

/// Transforms the heads, stores this step's keys and values in the blocks, then attends. Attention where
/// n_heads / n_kv_heads query heads share one key head (Ainslie et al. 2023, arXiv:2305.13245), causal.
/// q: float32 [T, n_heads * head_dim]; k, v: [T, n_kv_heads * head_dim]; angles: rope_angles' result, or
/// none for no rotation. Returns q's shape.
mx::array attention(const Context& context, const mx::array& q, const mx::array& k,
                    const mx::array& v, const std::optional<mx::array>& angles,
                    const AttentionSpec& spec, const KvLayerLayout& layout, KvView kv);

}  // namespace sluice::ops
