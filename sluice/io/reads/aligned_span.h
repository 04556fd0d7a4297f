#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sluice::io {

/// What reads past the page cache are multiples of, in the file and in memory.
inline constexpr uint64_t kDirectAlignment = 4096;

/// The whole pages around some bytes of a file. Read to a page-aligned buffer, the data starts `skip`
/// bytes into it: at the same offset modulo 4096 as in the file, so that nothing has to be moved.
struct AlignedSpan {
  uint64_t offset = 0;  ///< in the file, a multiple of 4096
  uint64_t bytes = 0;   ///< the buffer's size, a multiple of 4096
  uint64_t skip = 0;    ///< from the buffer's start to the data, 0 to 4095
};
AlignedSpan aligned_span(uint64_t offset, uint64_t bytes);

/// Bytes of one file that are wanted in memory together.
struct Extent {
  size_t file = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

/// Neighbours that one read fetches: `members` are indices of the extents that lie in it.
struct ExtentRun {
  Extent extent;
  std::vector<size_t> members;
};

/// Joins extents of the same file with at most `max_gap` bytes between them: reading a small gap costs
/// less than a second request. For laying out a slot, where each run gets its aligned_span; the gap's
/// bytes take memory too. Runs come in order of file and offset; overlapping extents always join.
std::vector<ExtentRun> join_neighbours(std::span<const Extent> extents, uint64_t max_gap);

}  // namespace sluice::io
