#include "sluice/residency/plan/dense_placement.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

namespace sluice::residency {
namespace {

constexpr uint64_t kShares = 64;  // sizes of slab that are tried

using Stages = std::vector<std::vector<Bytes>>;

Bytes sum(const std::vector<Bytes>& parts) {
  return std::accumulate(parts.begin(), parts.end(), Bytes{});
}

/// Streams of each stage as much as `slab` holds: the largest part that still fits, and again.
DensePlacement fill_slab(const Stages& stages, Bytes slab) {
  DensePlacement found;
  for (const auto& parts : stages) {
    std::vector<size_t> order(parts.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return parts[a] > parts[b]; });
    std::vector<bool> streamed(parts.size());
    Bytes taken;
    for (const size_t i : order) {
      if (taken + parts[i] > slab) continue;
      streamed[i] = true;
      taken = taken + parts[i];
    }
    found.streamed_bytes = found.streamed_bytes + taken;
    found.resident.count += sum(parts).count - taken.count;
    found.slab = std::max(found.slab, taken);
    found.streamed.push_back(std::move(streamed));
  }
  return found;
}

/// The streamed parts in the order in which they are pinned while memory is left: every stage gives its
/// smallest, stages taken far apart, before any gives its second.
std::vector<std::pair<size_t, size_t>> pin_order(const Stages& stages,
                                                 const DensePlacement& placement) {
  struct Candidate {
    size_t rank, turn, stage, part;
  };
  std::vector<Candidate> candidates;
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    std::vector<size_t> parts;
    for (size_t i = 0; i < stages[stage].size(); ++i) {
      if (placement.streamed[stage][i]) parts.push_back(i);
    }
    std::stable_sort(parts.begin(), parts.end(),
                     [&](size_t a, size_t b) { return stages[stage][a] < stages[stage][b]; });
    // Multiplying by the golden ratio spreads consecutive turns over the cycle.
    const size_t turn = stage * 0x9E3779B97F4A7C15u;
    for (size_t rank = 0; rank < parts.size(); ++rank) {
      candidates.push_back({rank, turn, stage, parts[rank]});
    }
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::pair(a.rank, a.turn) < std::pair(b.rank, b.turn);
  });
  std::vector<std::pair<size_t, size_t>> order;
  for (const Candidate& c : candidates) order.emplace_back(c.stage, c.part);
  return order;
}

/// Pins the first `count` of pin_order(); the slab is left as it is.
void pin(DensePlacement& placement, const Stages& stages, size_t count) {
  const auto order = pin_order(stages, placement);
  for (const auto& [stage, part] : std::span(order).first(count)) {
    placement.streamed[stage][part] = false;
    placement.resident = placement.resident + stages[stage][part];
    placement.streamed_bytes.count -= stages[stage][part].count;
  }
}

}  // namespace

DensePlacement place_dense(const Stages& stages, Bytes memory) {
  Bytes largest;
  for (const auto& parts : stages) largest = std::max(largest, sum(parts));

  DensePlacement best;  // before its pins, and without those that do not fit
  std::optional<std::pair<Bytes, Bytes>> best_cost;  // bytes streamed, memory
  size_t best_pins = 0;
  std::optional<DensePlacement> smallest;
  for (uint64_t share = 0; share <= kShares; ++share) {
    const DensePlacement base = fill_slab(stages, Bytes{largest.count * share / kShares});
    if (!smallest || base.memory() < smallest->memory()) smallest = base;
    if (base.memory() > memory) continue;
    std::pair<Bytes, Bytes> cost = {base.streamed_bytes, base.memory()};
    size_t pins = 0;
    for (const auto& [stage, part] : pin_order(stages, base)) {
      const Bytes bytes = stages[stage][part];
      if (cost.second + bytes > memory) break;
      cost.first.count -= bytes.count;
      cost.second = cost.second + bytes;
      ++pins;
    }
    if (!best_cost || cost < *best_cost) {
      best = base;
      best_cost = cost;
      best_pins = pins;
    }
  }
  if (!best_cost) return *smallest;
  pin(best, stages, best_pins);
  return best;
}

}  // namespace sluice::residency
