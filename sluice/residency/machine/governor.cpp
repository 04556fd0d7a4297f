#include "sluice/residency/machine/governor.h"

#include <algorithm>
#include <exception>
#include <new>
#include <optional>

#include "sluice/base/error.h"
#include "sluice/base/threads.h"

namespace sluice::residency {
namespace {

constexpr uint64_t kSteps = 8;         // from nothing to the plan
constexpr double kSettle = 2;          // s until a shrink shows in counts that lag
constexpr double kSomeStall = 0.10;    // share of time: pressure
constexpr double kFullStall = 0.05;    // likewise
constexpr double kCalmStall = 0.01;    // not calm above
constexpr double kLeastPatience = 10;  // s
constexpr double kMostPatience = 600;  // s
// A pool grows back in 8 times its patience at most, so calm for twice that is no part of a cycle.
constexpr double kForgets = 16;

struct Pressure {
  std::string why;
  uint64_t lacking = 0;  // bytes
  bool lags = false;     // the sign may be older than the last change
};

/// Another group that is short of its own limit stalls the machine's count too, and nothing that we give
/// back helps it: only where the machine itself, or our group, is nearly full is that count about us.
bool stalls_are_ours(const PressureReading& reading) {
  if (reading.scope == StallScope::none) return false;
  return reading.scope == StallScope::ours ||
         reading.memory.available.count < reading.memory.installed.count / 4;
}

double share(int64_t stalled_us, double elapsed_s) {
  return elapsed_s > 0 ? std::min(1.0, static_cast<double>(stalled_us) * 1e-6 / elapsed_s) : 0;
}

std::optional<Pressure> pressure(const GovernorLimits& limits, const PressureReading& reading,
                                 double elapsed_s) {
  const uint64_t available = reading.memory.available.count;
  const uint64_t headroom = limits.headroom.count;
  if (available < headroom) {
    return Pressure{fmt::format("{} available, {} wanted", to_string(reading.memory.available),
                                to_string(limits.headroom)),
                    headroom - available};
  }
  if (reading.level == PressureLevel::critical) {
    return Pressure{"the system's memory pressure is critical"};
  }
  if (reading.level == PressureLevel::warning) {
    return Pressure{"the system warns of memory pressure", 0, true};
  }
  const double some = share(reading.some_us, elapsed_s);
  const double full = share(reading.full_us, elapsed_s);
  if (stalls_are_ours(reading) && (some >= kSomeStall || full >= kFullStall)) {
    return Pressure{fmt::format("tasks waited for memory {:.0f} % of the time", 100 * some), 0,
                    true};
  }
  // Cached file pages reach a limit too, and are dropped for the asking: no pressure while there are many.
  if (reading.limit_hits > 0 && available < 2 * headroom) {
    return Pressure{fmt::format("a memory limit was reached {} times", reading.limit_hits), 0,
                    true};
  }
  return std::nullopt;
}

uint64_t round_up(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

void change(GovernorState& state, uint64_t size, const std::string& why, double now_s) {
  state.reason = fmt::format("{}: {} to {}", why, to_string(state.size), to_string(Bytes{size}));
  state.size = {size};
  state.changed_s = now_s;
}

void shrink(const GovernorLimits& limits, GovernorState& state, const Pressure& pressed,
            uint64_t step, double now_s) {
  const uint64_t size = state.size.count;
  const uint64_t least = limits.floor.count;
  if (size <= least || (pressed.lags && now_s - state.changed_s < kSettle)) {
    return;
  }
  const uint64_t less = std::max(step, round_up(pressed.lacking, limits.unit.count));
  if (state.grew) state.patience_s = std::min(2 * state.patience_s, kMostPatience);
  state.grew = false;
  change(state, size - least > less ? size - less : least, pressed.why, now_s);
}

}  // namespace

Bytes default_headroom(const MemoryState& state) {
  return {std::min<uint64_t>((state.available.count + state.resident.count) / 64, 256'000'000)};
}

GovernorState decide(const GovernorLimits& limits, GovernorState state,
                     const PressureReading& reading, double now_s) {
  const uint64_t step =
      std::max(limits.unit.count, round_up(limits.planned.count / kSteps, limits.unit.count));
  const auto pressed = pressure(limits, reading, now_s - state.polled_s);
  state.polled_s = now_s;
  if (pressed) {
    state.pressed_s = now_s;
    shrink(limits, state, *pressed, step, now_s);
    return state;
  }
  if (stalls_are_ours(reading) && reading.some_avg10 > kCalmStall) state.pressed_s = now_s;
  const double calm_s = now_s - state.pressed_s;
  if (calm_s >= kForgets * state.patience_s) state.patience_s = kLeastPatience;

  const bool patient = std::min(calm_s, now_s - state.changed_s) >= state.patience_s;
  const uint64_t more =
      std::min(step, limits.planned.count - std::min(limits.planned, state.size).count);
  if (more > 0 && patient && reading.memory.available.count >= more + 2 * limits.headroom.count) {
    state.grew = true;
    change(
        state, state.size.count + more,
        fmt::format("calm for {:.0f} s, {} available", calm_s, to_string(reading.memory.available)),
        now_s);
  }
  return state;
}

Governor::Governor(const GovernorLimits& limits, Read read, Resize resize,
                   std::chrono::milliseconds period)
    : limits_(limits), read_(std::move(read)), resize_(std::move(resize)), period_(period) {
  if (limits.floor > limits.planned || limits.unit.count == 0) {
    fail(ErrorKind::internal, "a pool between {} and {} in units of {}", to_string(limits.floor),
         to_string(limits.planned), to_string(limits.unit));
  }
  state_.size = report_.size = limits.planned;
  thread_ = start_thread("watches memory", [this] { watch(); });
}

Governor::~Governor() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

GovernorReport Governor::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

/// Why nothing changes. In memory's want, without the words.
void Governor::tell(const char* why) noexcept {
  try {
    report_.reason = why;
  } catch (const std::bad_alloc&) {
    report_.reason.clear();
  }
}

void Governor::watch() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, period_, [this] { return stopping_; })) {
    lock.unlock();
    try {
      poll();
      lock.lock();
    } catch (const std::exception& error) {  // also bad_alloc, which is likeliest just now
      lock.lock();
      tell(error.what());
    }
  }
}

void Governor::poll() {
  const PressureReading reading = read_();
  const std::chrono::duration<double> now = std::chrono::steady_clock::now() - began_;
  const GovernorState next = decide(limits_, state_, reading, now.count());
  const Bytes before = state_.size;
  const Bytes after = next.size == before ? before : resize_(next.size);
  state_ = next;
  state_.size = after;
  const std::lock_guard lock(mutex_);
  report_.shrinks += after < before ? 1 : 0;
  report_.grows += after > before ? 1 : 0;
  report_.size = after;
  if (next.size != before) report_.reason = next.reason;
}

}  // namespace sluice::residency
