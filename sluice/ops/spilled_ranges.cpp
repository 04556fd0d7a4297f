#include "sluice/ops/spilled_ranges.h"

#include <algorithm>

namespace sluice::ops {
namespace {

using kernels::kKvBlockTokens;

void append(SpilledRange& range, const SpilledRange& more) {
  range.wanted.insert(range.wanted.end(), more.wanted.begin(), more.wanted.end());
  range.blocks.insert(range.blocks.end(), more.blocks.begin(), more.blocks.end());
  range.end = more.end;
}

uint64_t room_of(const SpilledRange& range) {
  uint64_t sum = 0;
  for (const auto& [stored, part] : range.wanted) sum += stored->room(part).count;
  return sum;
}

/// Block b alone: as floats, as codes or, for different tokens, as both.
SpilledRange range_of(size_t s, const SequenceKv& sequence, const KvLayerLayout& layout,
                      int64_t b) {
  SpilledRange range{.sequence = s, .begin = b, .end = b + 1, .wanted = {}, .blocks = {}};
  const auto add = [&](const std::vector<std::shared_ptr<residency::KvBlock>>& blocks,
                       size_t part) {
    const residency::KvBlock* const block = blocks[static_cast<size_t>(b)].get();
    if (block == nullptr || block->in_memory()) return;
    range.wanted.push_back({block->stored(), part});
    range.blocks.push_back(block);
  };
  const int64_t coded_from = layout.coded_from(b);
  if (sequence.position < coded_from) add(sequence.blocks, layout.part);
  if (sequence.position + sequence.n_tokens > coded_from) add(sequence.coded, layout.code_part);
  return range;
}

std::vector<SpilledRange> ranges_of(size_t s, const SequenceKv& sequence,
                                    const KvLayerLayout& layout, const Reach& reach) {
  if (sequence.blocks.back()->pool().spill() == nullptr) return {};
  const int64_t first =
      reach.window == 0
          ? 0
          : std::max<int64_t>(0, sequence.position - reach.window + 1) / kKvBlockTokens;
  const int64_t end = (sequence.position + sequence.n_tokens - 1) / kKvBlockTokens + 1;
  std::vector<SpilledRange> ranges{{.sequence = s, .wanted = {}, .blocks = {}}};
  bool some = false;
  for (int64_t b = 0; b < end; ++b) {
    const bool seen = b >= first || (reach.first && b == 0);
    SpilledRange block =
        seen ? range_of(s, sequence, layout, b) : SpilledRange{s, b, b + 1, {}, {}};
    some |= !block.wanted.empty();
    SpilledRange& range = ranges.back();
    const bool is_full = !range.wanted.empty() && !block.wanted.empty() &&
                         room_of(range) + room_of(block) > block.stage().half().count;
    if (is_full) {
      ranges.push_back(std::move(block));
    } else {
      append(range, block);
    }
  }
  return some ? ranges : std::vector<SpilledRange>{};
}

}  // namespace

const std::byte* bytes_of(const residency::KvBlock& block, int64_t offset,
                          const SpilledRange* range) {
  if (block.in_memory()) return block.data() + offset;
  const auto at = std::ranges::find(range->blocks, &block) - range->blocks.begin();
  return range->stage().at(static_cast<size_t>(at));
}

std::vector<SpilledRange> spilled_ranges(const std::vector<SequenceKv>& sequences,
                                         const KvLayerLayout& layout, const Reach& reach) {
  std::vector<SpilledRange> all;
  for (size_t s = 0; s < sequences.size(); ++s) {
    if (sequences[s].n_tokens == 0) continue;
    for (SpilledRange& range : ranges_of(s, sequences[s], layout, reach))
      all.push_back(std::move(range));
  }
  return all;
}

std::vector<residency::KvStage::Wanted> of_next_layer(
    std::vector<residency::KvStage::Wanted> wanted) {
  for (auto& [stored, part] : wanted) part = (part + 1) % stored->n_parts();
  return wanted;
}

}  // namespace sluice::ops
