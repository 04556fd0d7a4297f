#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "sluice/base/error.h"
#include "sluice/residency/memory.h"

namespace sluice::residency {
namespace {

namespace fs = std::filesystem;

/// A file that holds one number; nullopt when it is missing or says "max".
std::optional<uint64_t> read_number(const fs::path& path) {
  uint64_t value = 0;
  std::ifstream file(path);
  return file >> value ? std::optional(value) : std::nullopt;
}

/// The number after `key` in a file of "key number" lines.
std::optional<uint64_t> read_field(const fs::path& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    uint64_t value = 0;
    if (words >> name >> value && name == key) return value;
  }
  return std::nullopt;
}

/// What a version of cgroups calls its files.
struct Names {
  const char *limit, *usage, *droppable;
};
constexpr Names kV1 = {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};
constexpr Names kV2 = {"memory.max", "memory.current", "inactive_file"};

/// What the cgroups from `mount`/`path` up to the mount still allow.
std::optional<uint64_t> left_in_cgroups(const fs::path& mount, fs::path path, const Names& names) {
  std::optional<uint64_t> least;
  for (;; path = path.parent_path()) {
    const fs::path group = path.empty() ? mount : mount / path;
    const auto limit = read_number(group / names.limit);
    const auto usage = read_number(group / names.usage);
    if (limit && usage) {
      const uint64_t droppable =
          std::min(*usage, read_field(group / "memory.stat", names.droppable).value_or(0));
      const uint64_t used = *usage - droppable;
      const uint64_t left = *limit > used ? *limit - used : 0;
      least = std::min(least.value_or(left), left);
    }
    if (path.empty()) return least;
  }
}

/// /proc/self/cgroup has "7:memory:/path" for v1 and "0::/path" for v2. Inside a container the path may
/// not exist below the mount, whose top is then the container's own group: it is always looked at.
std::optional<uint64_t> left_in_cgroups(const fs::path& root) {
  std::optional<uint64_t> least;
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path path = fs::path(line.substr(second + 1)).relative_path();
    std::optional<uint64_t> left;
    if (controllers.empty()) {
      left = left_in_cgroups(root / "sys/fs/cgroup", path, kV2);
    } else if (("," + controllers + ",").find(",memory,") != std::string::npos) {
      left = left_in_cgroups(root / "sys/fs/cgroup/memory", path, kV1);
    }
    if (left) least = std::min(least.value_or(*left), *left);
  }
  return least;
}

}  // namespace

MemoryState memory_state(const fs::path& root) {
  const fs::path meminfo = root / "proc/meminfo";
  const auto total = read_field(meminfo, "MemTotal:");
  const auto available = read_field(meminfo, "MemAvailable:");
  if (!total || !available) {
    fail(ErrorKind::io, "{}: has no MemTotal and MemAvailable; give --ram a size",
         meminfo.string());
  }
  const auto resident = read_field(root / "proc/self/status", "VmRSS:");
  MemoryState state{{*total * 1024}, {*available * 1024}, {resident.value_or(0) * 1024}};
  if (const auto left = left_in_cgroups(root)) {
    state.available = std::min(state.available, Bytes{*left});
  }
  return state;
}

}  // namespace sluice::residency
