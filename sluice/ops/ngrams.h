#pragma once

#include <mlx/array.h>

#include <vector>

#include "sluice/ops/context.h"
#include "sluice/ops/sequence_kv.h"

namespace sluice::ops {

/// One table of vectors of n-grams (LongCat's embeddings): the n tokens that end at a token are a number of base vocab_size,
/// modulo n_rows. Before the first token there are zeros.
struct NgramTable {
  int64_t n = 0, n_rows = 0;
};

/// Each token's row in each of these tables. tokens: int32 [T], each below vocab_size; returns int32 [T] each. A sequence's state
/// are its last tokens before the step: as many floats as the longest n-gram has, less 1, so vocab_size is at most 2^24.
std::vector<mx::array> ngram_rows(const Context& context, const mx::array& tokens,
                                  int64_t vocab_size, const std::vector<NgramTable>& tables,
                                  const KvLayerLayout& layout, KvView states);

}  // namespace sluice::ops
