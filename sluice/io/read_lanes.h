#pragma once

#include <cstdint>
#include <vector>

#include "sluice/base/timeline.h"
#include "sluice/io/async_reader.h"

namespace sluice::io {

/// What of a piece in flight will be drawn.
struct ReadSpan {
  int lane = -1;
  Priority priority = Priority::demand;  ///< when it began
  int64_t start_ns = 0;
  uint64_t bytes = 0;
};

/// Draws pieces in flight on a timeline, each in a lane that no other is in. Does nothing without one.
/// Its owner locks.
class ReadLanes {
 public:
  ReadLanes() = default;
  ReadLanes(Timeline* timeline, int depth);

  /// At most `depth` at a time.
  ReadSpan begin(Priority priority, uint64_t bytes);
  void end(const ReadSpan& span, Priority now, size_t file, bool ok);

 private:
  Timeline* timeline_ = nullptr;
  std::vector<int> free_;  // the topmost lane of the picture last
};

}  // namespace sluice::io
