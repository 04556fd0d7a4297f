#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "sluice/kernels/kernels.h"
#include "sluice/residency/kv_pool.h"

namespace sluice::ops {

/// Of a kept key or value.
inline int64_t element_bytes(kernels::KvType type) { return type == kernels::KvType::f32 ? 4 : 2; }

/// Tokens at the beginning that stay where a cache is bounded (attention's sinks: Xiao et al. 2023, arXiv:2309.17453).
inline constexpr int64_t kFirstTokens = 4;

/// What stays of a prompt that is pruned: its beginning and its end; and the tokens at the end whose queries choose the rest.
inline constexpr int64_t kKeptFirst = 128, kKeptLast = 512, kObserved = 64;

/// Where one layer's keys and values lie inside a KV block: keys [n_kv_heads, 256, head_dim] at
/// `offset`, values of the same shape right after them. Of a layer that carries a state: its floats from `offset` on.
struct KvLayerLayout {
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  kernels::KvType type = kernels::KvType::f16;
  int64_t offset = 0;      ///< bytes
  bool keys_only = false;  ///< keys are the values too
  int64_t ratio = 1;  ///< a row stands for so many tokens, and is there once the last of them is
  kernels::KvCode code = {};  ///< of whole blocks, if any
  int64_t code_offset = 0;    ///< bytes: where heads lie one after the other in a block of codes
  int64_t recent =
      0;  ///< a token reads a block in few bits once so many lie between its end and the token
  /// Above 0: a token sees the first kFirstTokens and the last so many, itself included, of a layer that would see all.
  int64_t last = 0;
  size_t part = 0;       ///< which part of its block it is, where that is spilled
  size_t code_part = 0;  ///< and of a block of codes

  /// How many rows tokens before `position` have, and where they lie: in the block of the token that a row ends with.
  int64_t rows_before(int64_t position) const { return position / ratio; }
  int64_t block_of(int64_t row) const { return ((row + 1) * ratio - 1) / kernels::kKvBlockTokens; }
  int64_t first_row(int64_t block) const { return rows_before(block * kernels::kKvBlockTokens); }

  /// The position from which on tokens read block b in few bits. The first never is: it holds attention's sinks.
  int64_t coded_from(int64_t b) const {
    if (!code || b == 0) return std::numeric_limits<int64_t>::max();
    return (b + 1) * kernels::kKvBlockTokens + recent;
  }
};

/// The tokens one sequence has in this step and the blocks that hold its keys and values, or its states.
struct SequenceKv {
  int64_t first_row = 0;  ///< its first token's row in the packed step
  int64_t n_tokens = 0;
  int64_t position =
      0;  ///< of its first token's row: its absolute position, less the rows that were pruned
  /// blocks[i] holds positions [256 i, 256 i + 256); null where the sliding window has passed. States: what the last
  /// of those tokens leaves, where it is kept.
  std::vector<std::shared_ptr<residency::KvBlock>> blocks;
  /// Rows [0, position % 256) of the first written block come from here (it was shared with a snapshot). States: what
  /// the token before `position` left; null where there is none.
  std::shared_ptr<residency::KvBlock> copy_from;
  /// coded[i] has the same positions in few bits, of each whole block but the first; those that this step completes are
  /// written by it.
  std::vector<std::shared_ptr<residency::KvBlock>> coded = {};
  /// Not empty: these tokens are the last kObserved ones of a prompt, of which the rows that stay are copied here, as many as
  /// fit; null where a sliding window will have passed.
  std::vector<std::shared_ptr<residency::KvBlock>> kept = {};
};

using KvView = std::shared_ptr<const std::vector<SequenceKv>>;

}  // namespace sluice::ops
