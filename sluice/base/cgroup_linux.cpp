#include "sluice/base/cgroup_linux.h"

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <sstream>
#include <string>

namespace sluice {
namespace {

namespace fs = std::filesystem;

/// A stream would take "-1" for 2^64 - 1.
std::optional<uint64_t> number(const std::string& word) {
  uint64_t value = 0;
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, value);
  return error == std::errc{} && stop == end ? std::optional(value) : std::nullopt;
}

void add_up_to(std::vector<Cgroup>& found, const fs::path& mount, fs::path path, int version) {
  for (;; path = path.parent_path()) {
    found.push_back({path.empty() ? mount : mount / path, version});
    if (path.empty()) return;
  }
}

}  // namespace

std::optional<uint64_t> read_number(const fs::path& path) {
  std::string word;
  std::ifstream file(path);
  return file >> word ? number(word) : std::nullopt;
}

std::optional<uint64_t> read_field(const fs::path& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name, value;
    if (words >> name >> value && name == key) return number(value);
  }
  return std::nullopt;
}

/// proc/self/cgroup has "7:memory:/path" for version 1 and "0::/path" for 2, which stands at the
/// top or, beside version 1, in a folder of its own. Version 1 mounts controllers together, as in
/// "4:cpu,cpuacct:/path", where their names are joined, and mostly has a link for each.
std::vector<Cgroup> cgroups(const fs::path& root, std::string_view controller) {
  std::vector<Cgroup> found;
  const fs::path top = root / "sys/fs/cgroup";
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path path = fs::path(line.substr(second + 1)).relative_path();
    if (controllers.empty()) {
      add_up_to(found, top, path, 2);
      add_up_to(found, top / "unified", path, 2);
    } else if (("," + controllers + ",").find(fmt::format(",{},", controller)) !=
               std::string::npos) {
      std::error_code ignored;
      const fs::path own = top / controller;
      add_up_to(found, fs::exists(own, ignored) ? own : top / controllers, path, 1);
    }
  }
  return found;
}

std::optional<double> cpu_quota(const Cgroup& group) {
  std::optional<uint64_t> quota, period;
  if (group.version == 1) {
    quota = read_number(group.directory / "cpu.cfs_quota_us");
    period = read_number(group.directory / "cpu.cfs_period_us");
  } else {
    std::string first, second;
    std::ifstream file(group.directory / "cpu.max");
    if (file >> first >> second) {
      quota = number(first);
      period = number(second);
    }
  }
  if (!quota || !period || *quota == 0 || *period == 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

}  // namespace sluice
