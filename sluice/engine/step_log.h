#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <vector>

namespace sluice::engine {

/// One step, for those who watch.
struct StepRecord {
  int64_t number =
      0;  ///< when it ended, in microseconds of the steady clock: ascends, over several engines too
  double ms = 0;  ///< it took
  int64_t decode_rows = 0, prefill_tokens = 0;
  int64_t waiting = 0;  ///< sequences, meanwhile
};

/// The last steps. For one thread at a time.
class StepLog {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kMost = 512;

  void add(Clock::time_point ended, StepRecord record) {
    record.number =
        std::chrono::duration_cast<std::chrono::microseconds>(ended.time_since_epoch()).count();
    if (records_.size() == kMost) records_.pop_front();
    records_.push_back(record);
  }
  /// Those behind `number`, oldest first.
  std::vector<StepRecord> after(int64_t number) const {
    auto first = records_.end();
    while (first != records_.begin() && std::prev(first)->number > number) --first;
    return {first, records_.end()};
  }

 private:
  std::deque<StepRecord> records_;
};

}  // namespace sluice::engine
