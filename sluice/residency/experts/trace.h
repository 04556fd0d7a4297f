#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "sluice/base/atomic_file.h"

namespace sluice::residency {

enum class Phase { decode, prefill };

/// The experts that one token's router chose in one layer.
struct TraceEntry {
  int64_t token = 0;
  int layer = 0;
  Phase phase = Phase::decode;
  std::vector<int> experts;
};

/// What routers chose, in the order it was computed: decoding token by token, prefill layer by layer.
struct Trace {
  int n_layers = 0;
  int n_experts = 0;
  std::vector<TraceEntry> entries;
};

/// Writes a trace as JSON lines: {"format":"sluice-trace","version":1,"n_layers":L,"n_experts":E}, then
/// [token, layer, phase, expert, ...] with phase 0 for decode and 1 for prefill.
class TraceWriter {
 public:
  /// Throws Error(io) when the file cannot be made. What is at `path` stays until finish().
  TraceWriter(const std::filesystem::path& path, int n_layers, int n_experts);
  /// Throws Error(io), as all here.
  void add(int64_t token, int layer, Phase phase, std::span<const int> experts);
  /// Puts the file into its place; without it there is none.
  void finish() { file_.commit(); }

 private:
  AtomicFile file_;
};

/// Throws Error(io) when it cannot be read, Error(bad_request) naming the line for anything but the above:
/// other versions, numbers out of range, an expert twice, more than 4096 layers or 65536 experts.
Trace read_trace(const std::filesystem::path& path);

}  // namespace sluice::residency
