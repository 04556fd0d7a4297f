#pragma once

#include <span>
#include <vector>

#include "sluice/ops/context.h"
#include "sluice/ops/sequence_kv.h"

namespace sluice::ops {

/// Tokens over which attention is summed to judge the one in the middle: who follows what was attended stays with it.
inline constexpr int64_t kPooled = 17;

/// Which n_kept tokens of a prompt stay for one key head (SnapKV: Li et al. 2024, arXiv:2404.14469), ascending: the first
/// kKeptFirst, the last kKeptLast, and of the others those with most attention around them, the earlier ones where it is equal.
/// attention: what each token got of the last ones' queries; more than n_kept tokens.
std::vector<int32_t> kept_tokens(std::span<const float> attention, int64_t n_kept);

/// One layer that sees everything of a sequence whose last kObserved tokens are this step's, and are stored.
struct Pruning {
  const SequenceKv& sequence;  ///< its `kept` is written
  const KvLayerLayout& layout;
  int64_t heads_per_kv = 1;
  float scale = 1.0F, softcap = 0.0F;
  const float* sinks = nullptr;  ///< [n_heads], or null
  const float* queries =
      nullptr;  ///< [n_kv_heads, kObserved, heads_per_kv, head_dim], as keys are compared with them
};

/// Copies what stays, each key head's own choice: softmaxed attention, summed over the queries that share the key head. The
/// same for any number of threads, and wherever blocks are.
void keep_attended(const Context& context, const Pruning& pruning);

/// The same of a layer with a window, of which the last rows stay.
void keep_last(const Context& context, const SequenceKv& sequence, const KvLayerLayout& layout,
               int64_t window);

}  // namespace sluice::ops
