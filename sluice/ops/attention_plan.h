#pragma once

#include <limits>

#include "sluice/ops/attention.h"

namespace sluice::ops {

/// The query heads of one key head, of consecutive tokens of one sequence, and the blocks they see.
struct AttentionTile {
  size_t sequence = 0;
  int64_t kv_head = 0;
  int64_t first_token = 0, n_tokens = 0;   ///< counted from the sequence's first in this step
  int64_t first_block = 0, end_block = 0;  ///< [first, end)
  bool sees_first = false;                 ///< block 0 too, which stands at first_block
  /// Where its parts begin, [n_blocks, n_queries], when its blocks are shared out; -1: one item has them all.
  int64_t first_part = -1;

  /// Which block stands at i, of [first_block, end_block).
  int64_t block(int64_t i) const { return sees_first && i == first_block ? 0 : i; }
};

/// What one thread does at a time: some of a tile's blocks.
struct AttentionItem {
  size_t tile = 0;
  int64_t first_block = 0, end_block = 0;
  int64_t cost = 0;  ///< blocks times queries
};

/// One attention's work. It decides who computes what, and no bit of the result.
struct AttentionPlan {
  std::vector<AttentionTile> tiles;
  std::vector<AttentionItem>
      items;            ///< the costliest first, so that the last to be handed out are small
  int64_t n_parts = 0;  ///< one block's, of one query
};

/// What a token sees.
struct Reach {
  int64_t window = 0;  ///< so many tokens, itself included; 0: all
  bool first = false;  ///< and some at the beginning
  /// Of the blocks, those [begin_block, end_block): others are attended at another time.
  int64_t begin_block = 0, end_block = std::numeric_limits<int64_t>::max();
};

/// Tiles as large as leaves every thread several (a tile reads its keys and values once); a tile that is
/// more than half a thread's share, as a long context with one new token is, is cut into ranges of blocks.
AttentionPlan plan_attention(const std::vector<SequenceKv>& sequences, int64_t n_kv_heads,
                             int64_t heads_per_kv, const Reach& reach, int64_t n_threads);

}  // namespace sluice::ops
