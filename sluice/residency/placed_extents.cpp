#include "sluice/residency/placed_extents.h"

#include <algorithm>

#include "sluice/base/error.h"

namespace sluice::residency {
namespace {

constexpr uint64_t kMostGap = 64 << 10;  // a hole this small costs less time than a second read
constexpr uint64_t kShareOfAll =
    16;  // but memory for good: no more than this part of what is wanted

uint64_t gap(std::span<const io::Extent> extents) {
  uint64_t all = 0;
  for (const io::Extent& extent : extents) all += extent.bytes;
  return std::min(kMostGap, all / kShareOfAll);
}

}  // namespace

PlacedExtents::PlacedExtents(std::span<const io::Extent> extents) {
  for (const io::ExtentRun& run : io::join_neighbours(extents, gap(extents))) {
    const io::AlignedSpan span = io::aligned_span(run.extent.offset, run.extent.bytes);
    runs_.push_back({run.extent, span, bytes_.count});
    bytes_.count += span.bytes;
  }
}

uint64_t PlacedExtents::position(size_t file, uint64_t offset) const {
  for (const Run& run : runs_) {
    if (run.wanted.file == file && offset >= run.wanted.offset &&
        offset - run.wanted.offset < run.wanted.bytes) {
      return run.at + (offset - run.span.offset);
    }
  }
  fail(ErrorKind::internal, "byte {} of file {} was not read with its neighbours", offset, file);
}

}  // namespace sluice::residency
