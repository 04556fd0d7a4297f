#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/io/reads/aligned_span.h"

namespace sluice::residency {

/// Where bytes of the model's files lie once they were read into memory of ours: runs of neighbours, each in
/// its whole pages, one after the other. Small holes between neighbours are read too.
class PlacedExtents {
 public:
  struct Run {
    io::Extent wanted;
    io::AlignedSpan span;
    uint64_t at = 0;  ///< where the span starts, from the placement's start
  };

  explicit PlacedExtents(std::span<const io::Extent> extents);

  const std::vector<Run>& runs() const { return runs_; }
  /// Memory needed, a multiple of the page that direct reads need.
  Bytes bytes() const { return bytes_; }
  /// Where byte `offset` of `file` lies, from the placement's start. Throws Error(internal) when it was not placed.
  uint64_t position(size_t file, uint64_t offset) const;

 private:
  std::vector<Run> runs_;
  Bytes bytes_;
};

}  // namespace sluice::residency
