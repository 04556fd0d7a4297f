#pragma once

#include <vector>

#include "sluice/ops/attention_plan.h"

namespace sluice::ops {

/// Blocks [begin, end) of one sequence whose spilled parts fit into memory together.
struct SpilledRange {
  size_t sequence = 0;
  int64_t begin = 0, end = 0;
  std::vector<residency::KvStage::Wanted> wanted;
  std::vector<const residency::KvBlock*> blocks;  ///< whose parts these are

  residency::KvStage& stage() const { return blocks[0]->pool().stage(); }
};

/// Where bytes from `offset` on of a block lie, with which a part of it begins: in the block or, where it is spilled, in what the
/// stage was brought of `range`.
const std::byte* bytes_of(const residency::KvBlock& block, int64_t offset,
                          const SpilledRange* range);

/// Of the sequences that see something that is spilled, all blocks, in their order; each range has something of that. reach: of
/// a token.
std::vector<SpilledRange> spilled_ranges(const std::vector<SequenceKv>& sequences,
                                         const KvLayerLayout& layout, const Reach& reach);

/// What the next layer that has blocks of this group will want of the same ones; of the last layer: the first, in the next
/// step.
std::vector<residency::KvStage::Wanted> of_next_layer(
    std::vector<residency::KvStage::Wanted> wanted);

}  // namespace sluice::ops
