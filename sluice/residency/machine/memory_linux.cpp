#include <malloc.h>

#include <algorithm>
#include <optional>

#include "sluice/base/cgroup_linux.h"
#include "sluice/base/error.h"
#include "sluice/residency/machine/memory.h"

namespace sluice::residency {
namespace {

/// What a version of cgroups calls its files. At `high` version 2 makes tasks wait and reclaims: a
/// limit like the other.
struct Names {
  const char *limit, *high, *usage, *droppable;
};
constexpr Names kV1 = {"memory.limit_in_bytes", nullptr, "memory.usage_in_bytes",
                       "total_inactive_file"};
constexpr Names kV2 = {"memory.max", "memory.high", "memory.current", "inactive_file"};

/// What the group still allows; nullopt when it sets no limit.
std::optional<uint64_t> left_in(const Cgroup& group) {
  const Names& names = group.version == 1 ? kV1 : kV2;
  auto limit = read_number(group.directory / names.limit);
  if (names.high != nullptr) {
    const auto high = read_number(group.directory / names.high);
    if (high && (!limit || *high < *limit)) limit = high;
  }
  const auto usage = read_number(group.directory / names.usage);
  if (!limit || !usage) return std::nullopt;
  const uint64_t droppable =
      std::min(*usage, read_field(group.directory / "memory.stat", names.droppable).value_or(0));
  const uint64_t used = *usage - droppable;
  return *limit > used ? *limit - used : 0;
}

}  // namespace

MemoryState memory_state(const std::filesystem::path& root) {
  const std::filesystem::path meminfo = root / "proc/meminfo";
  const auto total = read_field(meminfo, "MemTotal:");
  const auto available = read_field(meminfo, "MemAvailable:");
  if (!total || !available) {
    fail(ErrorKind::io, "{}: has no MemTotal and MemAvailable; give --ram a size",
         meminfo.string());
  }
  const auto resident = read_field(root / "proc/self/status", "VmRSS:");
  // The roll-up counts pages; what status says is late by up to some MB on machines of many processors.
  auto own = read_field(root / "proc/self/smaps_rollup", "Anonymous:");
  if (!own) own = read_field(root / "proc/self/status", "RssAnon:");
  if (!own) own = resident;
  MemoryState state{{*total * 1024},
                    {*available * 1024},
                    {resident.value_or(0) * 1024},
                    {own.value_or(0) * 1024}};
  for (const Cgroup& group : cgroups(root, "memory")) {
    if (const auto left = left_in(group)) state.available = std::min(state.available, Bytes{*left});
  }
  return state;
}

Bytes peak_resident(const std::filesystem::path& root) {
  return {read_field(root / "proc/self/status", "VmHWM:").value_or(0) * 1024};
}

// Left alone, glibc raises both thresholds to the largest block that was ever freed (32 MB and 64 MB), below which it
// keeps freed memory, and gives every thread a heap of its own.
void give_back_freed_memory() {
  (void)mallopt(M_MMAP_THRESHOLD, 256 << 10);
  (void)mallopt(M_TRIM_THRESHOLD, 512 << 10);
  (void)mallopt(M_ARENA_MAX, 1);
}

}  // namespace sluice::residency
