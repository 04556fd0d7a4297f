#include "sluice/residency/machine/cgroup_linux.h"

#include <charconv>
#include <fstream>
#include <sstream>
#include <string>

namespace sluice::residency {
namespace {

namespace fs = std::filesystem;

/// A stream would take "-1" for 2^64 - 1.
std::optional<uint64_t> number(const std::string& word) {
  uint64_t value = 0;
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, value);
  return error == std::errc{} && stop == end ? std::optional(value) : std::nullopt;
}

void add_up_to(std::vector<MemoryCgroup>& found, const fs::path& mount, fs::path path,
               int version) {
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

/// proc/self/cgroup has "7:memory:/path" for version 1 and "0::/path" for 2, which stands at the top or,
/// beside version 1, in a folder of its own.
std::vector<MemoryCgroup> memory_cgroups(const fs::path& root) {
  std::vector<MemoryCgroup> found;
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
    } else if (("," + controllers + ",").find(",memory,") != std::string::npos) {
      add_up_to(found, top / "memory", path, 1);
    }
  }
  return found;
}

}  // namespace sluice::residency
