#include "sluice/residency/experts/replay.h"

#include <algorithm>
#include <limits>
#include <set>

#include "sluice/base/error.h"

namespace sluice::residency {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

size_t key_index(const Trace& trace, int layer, int expert) {
  return static_cast<size_t>(layer) * static_cast<size_t>(trace.n_experts) +
         static_cast<size_t>(expert);
}

size_t n_keys(const Trace& trace) {
  return static_cast<size_t>(trace.n_layers) * static_cast<size_t>(trace.n_experts);
}

void check_slots(int n_slots) {
  if (n_slots < 1) fail(ErrorKind::bad_request, "replay with {} slots: wanted at least 1", n_slots);
}

void count(ReplayResult& result, const Demand& demand, bool hit) {
  if (demand.phase == Phase::decode) ++(hit ? result.hits : result.misses);
}

}  // namespace

std::vector<Demand> demands_of(const Trace& trace) {
  std::vector<Demand> demands;
  for (const TraceEntry& entry : trace.entries) {
    const bool joins = entry.phase == Phase::prefill && !demands.empty() &&
                       demands.back().phase == Phase::prefill &&
                       demands.back().layer == entry.layer;
    if (!joins) demands.push_back({entry.layer, entry.phase, {}});
    auto& experts = demands.back().experts;
    for (const int expert : entry.experts) {
      if (!joins || std::find(experts.begin(), experts.end(), expert) == experts.end()) {
        experts.push_back(expert);
      }
    }
  }
  return demands;
}

ReplayResult replay(const Trace& trace, PolicyKind kind, int n_slots) {
  check_slots(n_slots);
  const auto policy = make_policy(kind, {trace.n_layers, trace.n_experts, n_slots});
  std::vector<int> slot_of(n_keys(trace), -1);
  std::vector<size_t> in_slot(static_cast<size_t>(n_slots));
  std::vector<int> pins(static_cast<size_t>(n_slots), 0);
  int used = 0;
  ReplayResult result;
  for (const Demand& demand : demands_of(trace)) {
    policy->enter_layer(demand.layer);
    std::vector<int> pinned;
    const auto pin = [&](int slot) {
      pins[static_cast<size_t>(slot)] = 1;
      pinned.push_back(slot);
    };
    std::vector<int> missing;
    for (const int expert : demand.experts) {
      const int slot = slot_of[key_index(trace, demand.layer, expert)];
      count(result, demand, slot >= 0);
      if (slot < 0) {
        missing.push_back(expert);
        continue;
      }
      policy->on_hit(slot);
      pin(slot);
    }
    for (const int expert : missing) {
      const size_t key = key_index(trace, demand.layer, expert);
      int slot = used < n_slots ? used++ : policy->evict(pins);
      if (slot < 0) continue;
      // A slot that was free holds nothing; its old key is its own or another's that moved on.
      if (slot_of[in_slot[static_cast<size_t>(slot)]] == slot) {
        slot_of[in_slot[static_cast<size_t>(slot)]] = -1;
      }
      slot_of[key] = slot;
      in_slot[static_cast<size_t>(slot)] = key;
      policy->on_insert(slot, {demand.layer, expert});
      pin(slot);
    }
    for (const int slot : pinned) pins[static_cast<size_t>(slot)] = 0;
  }
  return result;
}

ReplayResult replay_belady(const Trace& trace, int n_slots) {
  check_slots(n_slots);
  const auto demands = demands_of(trace);
  // next[i][j]: the demand that uses the j-th expert of demand i again.
  std::vector<std::vector<int64_t>> next(demands.size());
  std::vector<int64_t> upcoming(n_keys(trace), kNever);
  for (size_t i = demands.size(); i-- > 0;) {
    for (const int expert : demands[i].experts) {
      int64_t& use = upcoming[key_index(trace, demands[i].layer, expert)];
      next[i].push_back(use);
      use = static_cast<int64_t>(i);
    }
  }
  std::set<std::pair<int64_t, size_t>> resident;   // (next use, key) of what is not in use
  std::vector<int64_t> use_of(n_keys(trace), -1);  // the key's entry in `resident`; -1: none
  ReplayResult result;
  for (size_t i = 0; i < demands.size(); ++i) {
    const Demand& demand = demands[i];
    for (const int expert : demand.experts) {
      const size_t key = key_index(trace, demand.layer, expert);
      count(result, demand, use_of[key] >= 0);
      if (use_of[key] >= 0) resident.erase({use_of[key], key});
      use_of[key] = -1;
    }
    const size_t in_use = std::min(demand.experts.size(), static_cast<size_t>(n_slots));
    while (resident.size() + in_use > static_cast<size_t>(n_slots)) {
      const auto furthest = std::prev(resident.end());
      use_of[furthest->second] = -1;
      resident.erase(furthest);
    }
    // Of a demand larger than the pool, what is used again soonest stays.
    std::vector<std::pair<int64_t, size_t>> used;
    for (size_t j = 0; j < demand.experts.size(); ++j) {
      used.emplace_back(next[i][j], key_index(trace, demand.layer, demand.experts[j]));
    }
    std::sort(used.begin(), used.end());
    used.resize(in_use);
    for (const auto& [use, key] : used) {
      resident.emplace(use, key);
      use_of[key] = use;
    }
  }
  return result;
}

}  // namespace sluice::residency
