#include "sluice/residency/experts/stream_statistics.h"

#include <algorithm>

namespace sluice::residency {
namespace {

/// Calls f(field of a, the same field of b) for all that is counted.
template <typename F>
void for_each_count(StreamStatistics& a, const StreamStatistics& b, const F& f) {
  f(a.reads.bytes, b.reads.bytes);
  f(a.reads.requests, b.reads.requests);
  f(a.reads.pieces, b.reads.pieces);
  f(a.reads.failed, b.reads.failed);
  f(a.reads.cancelled, b.reads.cancelled);
  f(a.reads.late_bytes, b.reads.late_bytes);
  f(a.reads.busy_seconds, b.reads.busy_seconds);
  f(a.reads.waited_seconds, b.reads.waited_seconds);
  f(a.experts.hits, b.experts.hits);
  f(a.experts.misses, b.experts.misses);
  f(a.experts.late, b.experts.late);
  f(a.experts.prefetched, b.experts.prefetched);
  f(a.experts.wasted, b.experts.wasted);
  f(a.experts.evictions, b.experts.evictions);
  f(a.experts.skipped, b.experts.skipped);
}

double share(double part, double whole, double of_nothing) {
  return whole > 0 ? part / whole : of_nothing;
}

/// Pieces in flight, summed over time.
double depth_seconds(const StreamStatistics& s) {
  return s.reads.mean_depth * s.reads.busy_seconds;
}

}  // namespace

double StreamStatistics::hit_rate() const {
  const int64_t demands = experts.hits + experts.misses + experts.late;
  return share(static_cast<double>(experts.hits), static_cast<double>(demands), 1);
}

Bytes StreamStatistics::awaited() const {
  return {static_cast<uint64_t>(experts.misses - experts.skipped + experts.late) *
          per_expert.count};
}

double StreamStatistics::overlap() const {
  return std::max(0.0, 1 - share(reads.waited_seconds, reads.busy_seconds, 0));
}

double StreamStatistics::bytes_per_second() const {
  return share(static_cast<double>(reads.bytes), reads.busy_seconds, 0);
}

StreamStatistics operator+(const StreamStatistics& a, const StreamStatistics& b) {
  StreamStatistics sum = a;
  for_each_count(sum, b, [](auto& x, auto y) { x += y; });
  sum.reads.mean_depth = share(depth_seconds(a) + depth_seconds(b), sum.reads.busy_seconds, 0);
  sum.per_expert = std::max(a.per_expert, b.per_expert);  // nothing was counted yet in an empty one
  return sum;
}

StreamStatistics operator-(const StreamStatistics& after, const StreamStatistics& before) {
  StreamStatistics rest = after;
  for_each_count(rest, before, [](auto& x, auto y) { x -= y; });
  rest.reads.mean_depth =
      share(depth_seconds(after) - depth_seconds(before), rest.reads.busy_seconds, 0);
  return rest;
}

}  // namespace sluice::residency
