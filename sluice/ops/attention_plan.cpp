#include "sluice/ops/attention_plan.h"

#include <algorithm>

namespace sluice::ops {
namespace {

constexpr int64_t kTileQueries =
    32;  // enough to share each key and value, few enough to stay in L1
constexpr int64_t kItemsPerThread =
    4;  // so that an unlucky thread waits for a fraction of its share

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

AttentionPlan plan_attention(const std::vector<SequenceKv>& sequences, int64_t n_kv_heads,
                             int64_t heads_per_kv, const Reach& reach, int64_t n_threads) {
  constexpr int64_t kBlock = kernels::kKvBlockTokens;
  int64_t all_tokens = 0;
  for (const SequenceKv& sequence : sequences) all_tokens += sequence.n_tokens;
  const int64_t wanted_items = n_threads * kItemsPerThread;
  const int64_t tile_tokens = std::clamp<int64_t>(
      all_tokens * n_kv_heads / wanted_items, 1, std::max<int64_t>(1, kTileQueries / heads_per_kv));

  AttentionPlan plan;
  int64_t total = 0;
  const auto cost_of = [&](const AttentionTile& tile, int64_t n_blocks) {
    return n_blocks * tile.n_tokens * heads_per_kv;
  };
  for (size_t s = 0; s < sequences.size(); ++s) {
    const SequenceKv& sequence = sequences[s];
    for (int64_t token = 0; token < sequence.n_tokens; token += tile_tokens) {
      const int64_t n = std::min(tile_tokens, sequence.n_tokens - token);
      const int64_t position = sequence.position + token;
      const int64_t first =
          reach.window == 0 ? 0 : std::max<int64_t>(0, position - reach.window + 1) / kBlock;
      const bool sees_first = reach.first && first > 0 && reach.begin_block == 0;
      const int64_t end = std::min((position + n - 1) / kBlock + 1, reach.end_block);
      const int64_t begin = std::min(std::max(first, reach.begin_block), end);
      AttentionTile tile{.sequence = s,
                         .first_token = token,
                         .n_tokens = n,
                         .first_block = begin - (sees_first ? 1 : 0),
                         .end_block = end,
                         .sees_first = sees_first};
      if (tile.first_block == tile.end_block) continue;
      for (; tile.kv_head < n_kv_heads; ++tile.kv_head) plan.tiles.push_back(tile);
      total += n_kv_heads * cost_of(tile, tile.end_block - tile.first_block);
    }
  }
  for (size_t t = 0; t < plan.tiles.size(); ++t) {
    AttentionTile& tile = plan.tiles[t];
    const int64_t n_blocks = tile.end_block - tile.first_block;
    const int64_t cost = cost_of(tile, n_blocks);
    int64_t pieces = 1;
    if (n_threads > 1 && cost * 2 * n_threads > total) {
      pieces = std::min(n_blocks, ceil_div(cost * wanted_items, total));
    }
    if (pieces > 1) {
      tile.first_part = plan.n_parts;
      plan.n_parts += cost;
    }
    for (int64_t i = 0; i < pieces; ++i) {
      const int64_t begin = tile.first_block + i * n_blocks / pieces;
      const int64_t end = tile.first_block + (i + 1) * n_blocks / pieces;
      plan.items.push_back({t, begin, end, cost_of(tile, end - begin)});
    }
  }
  std::stable_sort(plan.items.begin(), plan.items.end(),
                   [](const auto& a, const auto& b) { return a.cost > b.cost; });
  return plan;
}

}  // namespace sluice::ops
