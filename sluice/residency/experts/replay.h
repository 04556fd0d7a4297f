#pragma once

#include "sluice/residency/experts/policy.h"
#include "sluice/residency/experts/trace.h"

namespace sluice::residency {

/// How a pool would have done.
struct ReplayResult {
  int64_t hits = 0;
  int64_t misses = 0;
  double hit_rate() const {
    return hits + misses > 0 ? static_cast<double>(hits) / static_cast<double>(hits + misses) : 0;
  }
};

/// Experts that are asked for at once: those of one token in one layer, or of all tokens that a prefill
/// takes through a layer.
struct Demand {
  int layer = 0;
  Phase phase = Phase::decode;
  std::vector<int> experts;  ///< each once
};
std::vector<Demand> demands_of(const Trace& trace);

/// Replays with a pool of n_slots, at first empty. An expert in use is pinned; of a demand larger than
/// the pool, what does not fit is read past it. Only decoding is counted. Throws Error(bad_request) for
/// n_slots < 1.
ReplayResult replay(const Trace& trace, PolicyKind kind, int n_slots);

/// The same with Belady's choice, the expert whose next use is furthest away: no policy can do better.
ReplayResult replay_belady(const Trace& trace, int n_slots);

}  // namespace sluice::residency
