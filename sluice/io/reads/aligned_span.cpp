#include "sluice/io/reads/aligned_span.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace sluice::io {

AlignedSpan aligned_span(uint64_t offset, uint64_t bytes) {
  const uint64_t skip = offset % kDirectAlignment;
  const uint64_t pages = (skip + bytes + kDirectAlignment - 1) / kDirectAlignment;
  return {offset - skip, pages * kDirectAlignment, skip};
}

std::vector<ExtentRun> join_neighbours(std::span<const Extent> extents, uint64_t max_gap) {
  std::vector<size_t> order(extents.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::tie(extents[a].file, extents[a].offset) <
           std::tie(extents[b].file, extents[b].offset);
  });
  std::vector<ExtentRun> runs;
  for (const size_t i : order) {
    const Extent& next = extents[i];
    if (!runs.empty()) {
      Extent& last = runs.back().extent;
      const uint64_t end = last.offset + last.bytes;
      if (last.file == next.file && (next.offset <= end || next.offset - end <= max_gap)) {
        last.bytes = std::max(end, next.offset + next.bytes) - last.offset;
        runs.back().members.push_back(i);
        continue;
      }
    }
    runs.push_back({next, {i}});
  }
  return runs;
}

}  // namespace sluice::io
