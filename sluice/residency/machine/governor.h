#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "sluice/base/bytes.h"
#include "sluice/residency/machine/pressure.h"

namespace sluice::residency {

/// Between what a pool of experts may be resized.
struct GovernorLimits {
  Bytes planned;   ///< the size when nothing presses; never more
  Bytes floor;     ///< never less
  Bytes headroom;  ///< what shall stay available to others: less is pressure
  Bytes unit{1};   ///< sizes differ by multiples of it: a slot
};

/// A 64th of what this process has and could get, 256 MB at most: little enough for a memory cgroup that is
/// no larger than the budget.
Bytes default_headroom(const MemoryState& state);

/// What decide() remembers from poll to poll. Times are seconds since the governor began.
struct GovernorState {
  Bytes size;          ///< the pool's: what was decided, or what the pool could do of it
  std::string reason;  ///< of the last change, one line; "" before the first
  double polled_s = 0;
  double pressed_s = 0;    ///< the last sign of pressure
  double changed_s = 0;    ///< the last change of size
  double patience_s = 10;  ///< calm that is needed before the pool grows
  bool grew = false;       ///< since it last shrank
};

/// The state after a poll; its size is what the pool shall have.
///
/// Pressure is too little available, tasks that wait for memory, a memory limit that is being hit, or the
/// system's own warning. It shrinks the pool at once by an eighth of the plan, or by what lacks when that
/// is more; stalls and hits, which lag, at most every 2 s. Calm for patience_s, with twice the headroom
/// left after it, grows the pool by an eighth. Each shrink that undoes a growth doubles the patience, up
/// to ten minutes, and calm for sixteen times as long resets it, so a size that does not last is tried
/// ever more rarely.
GovernorState decide(const GovernorLimits& limits, GovernorState state,
                     const PressureReading& reading, double now_s);

/// For telemetry.
struct GovernorReport {
  Bytes size;
  int64_t shrinks = 0;
  int64_t grows = 0;
  std::string reason;  ///< of the last change, or why the system's state cannot be read
};

/// Obeys decide() in a thread of its own.
class Governor {
 public:
  using Read =
      std::function<PressureReading()>;  ///< what it throws is reported, and nothing changes
  using Resize = std::function<Bytes(Bytes target)>;  ///< returns the size there is then; likewise

  /// The pool has limits.planned now. Both functions are called by the governor's thread, every
  /// `period`. Throws Error(internal) unless floor <= planned and unit > 0, Error(io) when there
  /// can be no thread.
  Governor(const GovernorLimits& limits, Read read, Resize resize,
           std::chrono::milliseconds period = std::chrono::milliseconds(500));
  /// Waits for a call that is under way, no longer.
  ~Governor();
  Governor(const Governor&) = delete;
  Governor& operator=(const Governor&) = delete;

  GovernorReport report() const;

 private:
  void watch();
  void tell(const char* why) noexcept;
  void poll();

  const GovernorLimits limits_;
  const Read read_;
  const Resize resize_;
  const std::chrono::milliseconds period_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  GovernorState state_;  // the thread's

  mutable std::mutex mutex_;  // guards report_ and stopping_
  std::condition_variable stop_;
  GovernorReport report_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace sluice::residency
