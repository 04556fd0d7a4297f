#include "sluice/io/reads/read_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

namespace sluice::io {

ReadTrace::ReadTrace(Timeline* timeline, int depth) : timeline_(timeline) {
  if (timeline == nullptr) return;
  waits_ = timeline->add_lane("waits for reads");
  for (int i = 0; i < depth; ++i) free_.push_back(timeline->add_lane(fmt::format("io {}", i)));
  std::reverse(free_.begin(), free_.end());
}

ReadSpan ReadTrace::begin(Priority priority, uint64_t bytes) {
  if (timeline_ == nullptr) return {};
  const int lane = free_.back();
  free_.pop_back();
  return {lane, priority, Timeline::now_ns(), bytes};
}

void ReadTrace::end(const ReadSpan& span, Priority now, size_t file, bool ok) {
  if (timeline_ == nullptr) return;
  const char* const name = !ok                         ? "failed read"
                           : now != span.priority      ? "late prefetch"
                           : now == Priority::prefetch ? "prefetch"
                                                       : "demand";
  timeline_->record(
      name, span.lane, span.start_ns, Timeline::now_ns(),
      {.bytes = static_cast<int64_t>(span.bytes), .file = static_cast<int32_t>(file)});
  // The topmost free one is used next: then the number of rows in use is the depth in use.
  free_.insert(std::upper_bound(free_.begin(), free_.end(), span.lane, std::greater()), span.lane);
}

void ReadTrace::waited(int64_t nanoseconds) {
  if (timeline_ == nullptr) return;
  const int64_t end = Timeline::now_ns();
  if (end - nanoseconds < waits_end_ns_) return;
  waits_end_ns_ = end;
  timeline_->record("wait", waits_, end - nanoseconds, end);
}

}  // namespace sluice::io
