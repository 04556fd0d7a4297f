#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "sluice/base/cgroup_linux.h"
#include "sluice/residency/machine/pressure.h"

namespace sluice::residency {
namespace {

namespace fs = std::filesystem;

/// A line of a pressure file: "some avg10=0.12 avg60=0.00 avg300=0.00 total=3456".
struct Stall {
  double avg10 = 0;  // percent
  int64_t total_us = 0;
};
struct Stalls {
  StallScope scope = StallScope::none;
  Stall some, full;
};

/// The value of "key=value"; nullopt for another key or what is no number at its whole length.
template <typename Number>
std::optional<Number> value_of(const std::string& word, std::string_view key) {
  if (!word.starts_with(key)) return std::nullopt;
  const char* const end = word.data() + word.size();
  Number value = 0;
  const auto [stop, error] = std::from_chars(word.data() + key.size(), end, value);
  return error == std::errc{} && stop == end ? std::optional(value) : std::nullopt;
}

std::optional<Stall> parse_stall(std::istringstream& words) {
  std::optional<double> avg10;
  std::optional<int64_t> total;
  for (std::string word; words >> word;) {
    if (const auto value = value_of<double>(word, "avg10=")) avg10 = value;
    if (const auto value = value_of<int64_t>(word, "total=")) total = value;
  }
  const bool sane = avg10 && total && *avg10 >= 0 && *avg10 <= 100 && *total >= 0;  // nor nan
  return sane ? std::optional(Stall{*avg10, *total}) : std::nullopt;
}

/// nullopt when the file is missing or has no "some" line that we can read. Kernels built for it but
/// started without give an error at the first read, which is a file without lines here.
std::optional<Stalls> read_stalls(const fs::path& path, StallScope scope) {
  std::ifstream file(path);
  std::optional<Stall> some, full;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string kind;
    words >> kind;
    if (kind == "some") some = parse_stall(words);
    if (kind == "full") full = parse_stall(words);
  }
  if (!some) return std::nullopt;
  return Stalls{scope, *some, full.value_or(Stall{})};
}

Stalls read_stalls(const fs::path& root, const std::vector<Cgroup>& groups) {
  for (const Cgroup& group : groups) {
    if (group.version != 2) continue;
    std::error_code ignored;  // every group but the machine's top one has a type
    const StallScope scope = fs::exists(group.directory / "cgroup.type", ignored)
                                 ? StallScope::ours
                                 : StallScope::machine;
    if (const auto stalls = read_stalls(group.directory / "memory.pressure", scope)) return *stalls;
  }
  return read_stalls(root / "proc/pressure/memory", StallScope::machine).value_or(Stalls{});
}

/// A group's count includes those below it in version 2 and not in 1; only its rising is of interest.
uint64_t count_limit_hits(const std::vector<Cgroup>& groups) {
  uint64_t hits = 0;
  for (const Cgroup& group : groups) {
    if (group.version == 1) {
      hits += read_number(group.directory / "memory.failcnt").value_or(0);
    } else {
      hits += read_field(group.directory / "memory.events", "high").value_or(0);
      hits += read_field(group.directory / "memory.events", "max").value_or(0);
    }
  }
  return hits;
}

/// 0 where a counter went back: another file is read than before.
template <typename Count>
int64_t rise(Count before, Count now) {
  return now > before ? static_cast<int64_t>(now - before) : 0;
}

}  // namespace

struct PressureSource::Counters {
  fs::path root;
  Stalls stalls;
  uint64_t limit_hits = 0;

  explicit Counters(fs::path where) : root(std::move(where)) { update(); }
  void update() {
    const std::vector<Cgroup> groups = cgroups(root, "memory");
    stalls = read_stalls(root, groups);
    limit_hits = count_limit_hits(groups);
  }
};

PressureSource::PressureSource(const fs::path& root) : last_(std::make_unique<Counters>(root)) {}
PressureSource::~PressureSource() = default;
PressureSource::PressureSource(PressureSource&&) noexcept = default;

PressureReading PressureSource::read() {
  PressureReading reading;
  reading.memory = memory_state(last_->root);
  const Stalls before = last_->stalls;
  const uint64_t hits_before = last_->limit_hits;
  last_->update();
  const Stalls& now = last_->stalls;
  reading.scope = now.scope;
  reading.some_avg10 = now.some.avg10 / 100;
  reading.full_avg10 = now.full.avg10 / 100;
  if (before.scope == now.scope) {
    reading.some_us = rise(before.some.total_us, now.some.total_us);
    reading.full_us = rise(before.full.total_us, now.full.total_us);
  }
  reading.limit_hits = rise(hits_before, last_->limit_hits);
  return reading;
}

}  // namespace sluice::residency
