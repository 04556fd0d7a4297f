#pragma once

#include <cstdint>
#include <vector>

#include "sluice/base/timeline.h"
#include "sluice/io/reads/async_reader.h"

namespace sluice::io {

/// What of a piece in flight will be drawn.
struct ReadSpan {
  int lane = -1;
  Priority priority = Priority::demand;  ///< when it began
  int64_t start_ns = 0;
  uint64_t bytes = 0;
};

/// Draws on a timeline who waits for reads, and pieces in flight, each in a lane that no other is in. Does nothing
/// without one.
/// Its owner locks.
class ReadTrace {
 public:
  ReadTrace() = default;
  ReadTrace(Timeline* timeline, int depth);

  /// At most `depth` at a time.
  ReadSpan begin(Priority priority, uint64_t bytes);
  void end(const ReadSpan& span, Priority now, size_t file, bool ok);

  /// A caller waited so long, until now. Of several at a time one is drawn.
  void waited(int64_t nanoseconds);

 private:
  Timeline* timeline_ = nullptr;
  std::vector<int> free_;  // the topmost lane of the picture last
  int waits_ = -1;         // the lane of waiting
  int64_t waits_end_ns_ = 0;
};

}  // namespace sluice::io
