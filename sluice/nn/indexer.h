#pragma once

#include <vector>

#include "sluice/nn/demands.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/rope.h"
#include "sluice/ops/selection.h"

namespace sluice::nn {

/// What chooses the keys that a token attends (DeepSeek-V3.2, arXiv:2512.02556; MiniMax-M3). What the files have decides: a k_norm
/// with a bias is a layer norm of keys, without it one of root mean squares, as q_norm.
class Indexer {
 public:
  /// w: the module. query_width: of what queries are projected from.
  Indexer(const Config& c, const IndexConfig& index, int64_t query_width, const Weights& w,
          Demands& demands);

  /// Of what the block gets: keys, then, where scores are summed, the heads' weights.
  const std::vector<ops::Projection>& of_block() const { return of_block_; }
  const ops::Projection& of_query() const { return of_query_; }

  /// keys_and_weights: what of_block() gave; query: what of_query() gave. Appends this step's keys to the KV blocks.
  ops::Selection operator()(const mx::array& query, std::span<const mx::array> keys_and_weights,
                            const Step& step) const;

 private:
  std::vector<ops::Projection> of_block_;
  ops::Projection of_query_;
  std::vector<ops::Norm> key_norm_;  // a layer norm, or none
  ops::SelectSpec spec_;
  Rope rope_;
  size_t slot_;
};

}  // namespace sluice::nn
