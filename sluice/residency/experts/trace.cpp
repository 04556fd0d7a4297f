#include "sluice/residency/experts/trace.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "sluice/base/error.h"

namespace sluice::residency {
namespace {

constexpr int kMostLayers = 4096;
constexpr int kMostExperts = 65536;
constexpr size_t kLongestLine = 1 << 20;
constexpr size_t kMostEntries = 100'000'000;

using Json = nlohmann::json;

[[noreturn]] void refuse(const std::filesystem::path& path, size_t line,
                         const std::string& wanted) {
  fail(ErrorKind::bad_request, "{}: line {} is no {}; record the trace again", path.string(), line,
       wanted);
}

/// An integer in [0, end); nullopt otherwise.
std::optional<int64_t> index_below(const Json& json, int64_t end) {
  if (!json.is_number_unsigned()) return std::nullopt;
  const auto value = json.get<uint64_t>();
  if (value >= static_cast<uint64_t>(end)) return std::nullopt;
  return static_cast<int64_t>(value);
}

bool read_header(const Json& json, Trace& trace) {
  if (!json.is_object() || json.value("format", Json()) != "sluice-trace" ||
      json.value("version", Json()) != 1) {
    return false;
  }
  const auto n_layers = index_below(json.value("n_layers", Json()), kMostLayers + 1);
  const auto n_experts = index_below(json.value("n_experts", Json()), kMostExperts + 1);
  if (!n_layers || !n_experts || *n_layers == 0 || *n_experts == 0) return false;
  trace.n_layers = static_cast<int>(*n_layers);
  trace.n_experts = static_cast<int>(*n_experts);
  return true;
}

std::optional<TraceEntry> read_entry(const Json& json, const Trace& trace) {
  if (!json.is_array() || json.size() < 4) return std::nullopt;
  const auto token = index_below(json[0], INT64_MAX);
  const auto layer = index_below(json[1], trace.n_layers);
  const auto phase = index_below(json[2], 2);
  if (!token || !layer || !phase) return std::nullopt;
  TraceEntry entry{*token, static_cast<int>(*layer), static_cast<Phase>(*phase), {}};
  for (size_t i = 3; i < json.size(); ++i) {
    const auto expert = index_below(json[i], trace.n_experts);
    if (!expert) return std::nullopt;
    entry.experts.push_back(static_cast<int>(*expert));
  }
  auto sorted = entry.experts;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) return std::nullopt;
  return entry;
}

/// The next line without its end; false at the file's. Stops reading a line that is too long.
bool next_line(std::istream& file, std::string& line) {
  line.clear();
  char c = 0;
  while (file.get(c) && c != '\n') {
    line.push_back(c);
    if (line.size() > kLongestLine) return true;
  }
  return !line.empty() || c == '\n';
}

/// A nested array is no trace: refused before the parser recurses into it.
Json parse_line(const std::string& line) {
  if (line.size() > kLongestLine || std::count(line.begin(), line.end(), '[') > 1) return {};
  return Json::parse(line, nullptr, false);
}

}  // namespace

TraceWriter::TraceWriter(const std::filesystem::path& path, int n_layers, int n_experts)
    : file_(path) {
  file_.write(fmt::format(
      "{{\"format\":\"sluice-trace\",\"version\":1,\"n_layers\":{},\"n_experts\":{}}}\n", n_layers,
      n_experts));
}

void TraceWriter::add(int64_t token, int layer, Phase phase, std::span<const int> experts) {
  std::string line = fmt::format("[{},{},{}", token, layer, phase == Phase::prefill ? 1 : 0);
  for (const int expert : experts) line += fmt::format(",{}", expert);
  file_.write(line + "]\n");
}

Trace read_trace(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(ErrorKind::io, "{}: cannot be read", path.string());
  Trace trace;
  std::string line;
  if (!next_line(file, line) || !read_header(parse_line(line), trace)) {
    refuse(path, 1, "header of a trace of version 1");
  }
  for (size_t number = 2; next_line(file, line); ++number) {
    auto entry = read_entry(parse_line(line), trace);
    if (!entry || trace.entries.size() == kMostEntries) {
      refuse(path, number,
             fmt::format("[token, layer below {}, phase 0 or 1, experts below {}, ...]",
                         trace.n_layers, trace.n_experts));
    }
    trace.entries.push_back(std::move(*entry));
  }
  if (file.bad()) fail(ErrorKind::io, "{}: cannot be read", path.string());
  return trace;
}

}  // namespace sluice::residency
