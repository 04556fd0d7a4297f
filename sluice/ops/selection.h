#pragma once

#include <mlx/array.h>

#include <algorithm>
#include <optional>

#include "sluice/ops/rope.h"
#include "sluice/ops/sequence_kv.h"

namespace sluice::ops {

/// How keys are chosen: k runs of `unit` positions, for each of n_groups groups of consecutive query heads.
struct SelectionShape {
  int64_t n_groups = 1, k = 0, unit = 1;
  int64_t ratio = 1;  ///< a key stands for so many positions, and is seen once the last of them is

  /// How many of a sequence's tokens in this step see all before them, having no more than k runs: the first ones.
  int64_t n_dense(const SequenceKv& sequence) const {
    const int64_t first = (k * unit + 1) * ratio - 1;  // position, that sees more
    return std::clamp<int64_t>(first - sequence.position, 0, sequence.n_tokens);
  }
};

/// The keys that each token attends, where it has more than k runs.
struct Selection {
  SelectionShape shape;
  mx::array
      runs;  ///< int32 [T, n_groups * k]: numbers of runs, ascending in each group; of tokens that see all: nothing
};

/// An indexer: what chooses. The score of a key for a query's head is their product. The best runs of `unit` positions win,
/// a run counts by its best key that the token sees; of equal ones the earlier.
struct SelectSpec {
  int64_t n_heads = 0, head_dim = 0;
  /// All heads choose together: a key's score is the sum of max(0, product) times the head's weight (DeepSeek-V3.2's lightning
  /// indexer, arXiv:2512.02556). Else each for its group of query heads (MiniMax-M3).
  bool summed = false;
  int64_t n_local =
      0;  ///< so many last runs, the token's own among them, are chosen whatever their scores
  bool stores = true;  ///< false: the keys are there
  SelectionShape shape;
  HeadTransform query = {}, key = {};
};

/// Transforms the heads, stores this step's keys in the blocks, then chooses. q: float32 [T, n_heads * head_dim]; k: [T, head_dim],
/// one for all heads; weights: [T, n_heads] where scores are summed; angles: as attention()'s. layout: of keys only, one head.
/// within: keys of other runs have no chance; it has one group, and k keys always.
Selection select_runs(const Context& context, const mx::array& q, const mx::array& k,
                      const std::optional<mx::array>& weights,
                      const std::optional<mx::array>& angles, const SelectSpec& spec,
                      const KvLayerLayout& layout, KvView kv,
                      const std::optional<Selection>& within = std::nullopt);

}  // namespace sluice::ops
