#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "sluice/residency/machine/memory.h"

namespace sluice::residency {

/// Whose tasks were counted as waiting for memory.
enum class StallScope {
  none,     ///< the system does not count
  machine,  ///< anybody's, also of groups that are short of their own limit only
  ours,     ///< those of this process's group
};

/// The system's own word for it, where it has one (macOS).
enum class PressureLevel { normal, warning, critical };

/// What the system says of memory at one poll.
struct PressureReading {
  MemoryState memory;
  StallScope scope = StallScope::none;
  double some_avg10 = 0;   ///< share, 0 to 1, of the last 10 s in which a task waited for memory
  double full_avg10 = 0;   ///< in which none could run
  int64_t some_us = 0;     ///< such waiting since the last poll
  int64_t full_us = 0;     ///< likewise
  int64_t limit_hits = 0;  ///< times a group's limit was reached since the last poll
  PressureLevel level = PressureLevel::normal;
};

/// Reads memory pressure. Linux: memory_state(), the stalls (PSI) of the innermost version 2 cgroup or
/// else of the machine, and the groups' counts of limits reached (memory.events of version 2,
/// memory.failcnt of version 1). macOS: memory_state() and the kernel's pressure level. What the system
/// does not say, or says in a form unknown to us, is as if it were calm. One thread at a time.
class PressureSource {
 public:
  /// "Since the last poll" begins here. `root` is where tests put a /proc and a /sys of their own; macOS
  /// ignores it.
  explicit PressureSource(const std::filesystem::path& root = "/");
  ~PressureSource();
  PressureSource(PressureSource&&) noexcept;

  /// Throws Error(io) when the system does not even say what is available.
  PressureReading read();

 private:
  struct Counters;
  std::unique_ptr<Counters> last_;
};

}  // namespace sluice::residency
