#pragma once

#include <filesystem>

#include "sluice/base/bytes.h"

namespace sluice::residency {

/// What the system could give this process now.
struct MemoryState {
  Bytes installed;
  /// Free or reclaimable without swapping, within the process's memory cgroups too.
  Bytes available;
  Bytes resident;  ///< of this process
  Bytes own = {};  ///< of these, not pages of files: heap, stacks, what was written to
};

/// Linux: MemAvailable, and for each memory cgroup (v1 or v2) from the process's own to the top its
/// limit (memory.max, memory.high) less its usage, file pages that can be dropped not counted.
/// macOS: free, inactive and purgeable pages. `root` is where tests put a /proc and a /sys of their
/// own; macOS ignores it. Throws Error(io) when the system does not say.
MemoryState memory_state(const std::filesystem::path& root = "/");

/// The most memory this process has had resident. Linux: VmHWM. Not getrusage()'s ru_maxrss, which exec() leaves at
/// the peak of the program that started this one. 0 when the system does not say.
Bytes peak_resident(const std::filesystem::path& root = "/");

/// From now on this process gives freed memory back to the system at once, as far as its allocator can: what it
/// takes is then what it uses. Best before threads are started.
void give_back_freed_memory();

/// The budget for `--ram auto`: what is there for this process, its own pages included, less 10 % or 500 MB,
/// whichever is more, but never less than half: others need memory too.
Bytes automatic_budget(const MemoryState& state);

}  // namespace sluice::residency
