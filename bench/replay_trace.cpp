// Replays recorded router traces at many sizes of the expert pool, for every policy and Belady's.
//   replay_trace TRACE...     prints JSON; tools/replay_trace.py makes a table and a picture of it
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "sluice/base/error.h"
#include "sluice/residency/experts/replay.h"

namespace {

using namespace sluice;
using namespace sluice::residency;

constexpr int kCapacities = 16;  // equal steps up to all experts
constexpr PolicyKind kPolicies[] = {PolicyKind::lru, PolicyKind::lfu, PolicyKind::lcp,
                                    PolicyKind::least_stale, PolicyKind::s3_fifo};

/// Slots that one token needs: the largest sum over a pass of the layers.
int cycle_of(const Trace& trace) {
  std::vector<size_t> most(static_cast<size_t>(trace.n_layers));
  for (const TraceEntry& entry : trace.entries) {
    size_t& n = most[static_cast<size_t>(entry.layer)];
    n = std::max(n, entry.experts.size());
  }
  size_t sum = 0;
  for (const size_t n : most) sum += n;
  return static_cast<int>(sum);
}

nlohmann::json replay_all(const std::string& path) {
  const Trace trace = read_trace(path);
  const int all = trace.n_layers * trace.n_experts;
  const int cycle = cycle_of(trace);
  std::set<int> capacities = {cycle, std::max(1, cycle * 3 / 4)};
  for (int i = 1; i <= kCapacities; ++i) capacities.insert(std::max(1, all * i / kCapacities));
  nlohmann::json rates;
  for (const int slots : capacities) {
    for (const PolicyKind kind : kPolicies) {
      rates[std::string(to_string(kind))].push_back(replay(trace, kind, slots).hit_rate());
    }
    rates["belady"].push_back(replay_belady(trace, slots).hit_rate());
  }
  return {{"trace", path},
          {"experts", all},
          {"cycle", cycle},
          {"capacities", capacities},
          {"hit_rates", rates}};
}

}  // namespace

int main(int argc, char** argv) {
  try {
    nlohmann::json results = nlohmann::json::array();
    for (int i = 1; i < argc; ++i) results.push_back(replay_all(argv[i]));
    std::puts(results.dump(1).c_str());
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "replay_trace: error: %s\n", error.what());
    return 1;
  }
}
