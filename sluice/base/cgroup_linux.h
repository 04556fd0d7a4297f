#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

namespace sluice {

/// A file that holds one number; nullopt when it is missing, says "max" or is damaged.
std::optional<uint64_t> read_number(const std::filesystem::path& path);

/// The number after `key` in a file of "key number" lines; nullopt as above.
std::optional<uint64_t> read_field(const std::filesystem::path& path, std::string_view key);

/// A group that may limit what this process takes. Any of its files may be missing.
struct Cgroup {
  std::filesystem::path directory;
  int version = 2;
};

/// Those of a controller ("memory", "cpu") that proc/self/cgroup under `root` names, each hierarchy
/// from the process's own group to the top. Inside a container the own group's path may not exist
/// below the mount, whose top is then the container's own group: it is always among them.
std::vector<Cgroup> cgroups(const std::filesystem::path& root, std::string_view controller);

/// Processors' worth of time that a group grants: cpu.max, or cpu.cfs_quota_us by cpu.cfs_period_us
/// in version 1. nullopt when it sets no limit.
std::optional<double> cpu_quota(const Cgroup& group);

}  // namespace sluice
