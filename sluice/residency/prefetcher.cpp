#include "sluice/residency/prefetcher.h"

#include <algorithm>

namespace sluice::residency {
namespace {

/// A wrong guess costs a read, a right one saves waiting for it.
constexpr double kLeastRight = 0.6;
/// What a rank is believed to be before it was measured, and how fast that changes.
constexpr double kAssumed = 0.65;
constexpr double kWeightOfOne = 1.0 / 64;

}  // namespace

Prefetcher::Prefetcher(SlotPool& pool, int n_layers)
    : pool_(pool), layers_(static_cast<size_t>(n_layers)) {}

void Prefetcher::guess(int layer, std::span<const int> experts) {
  Layer& l = layers_[static_cast<size_t>(layer)];
  l.guesses.clear();
  l.right.resize(std::max(l.right.size(), experts.size()), kAssumed);
  std::vector<int> wanted;
  for (size_t rank = 0; rank < experts.size(); ++rank) {
    const bool missing = !pool_.holds(layer, experts[rank]);
    l.guesses.push_back({experts[rank], missing});
    if (missing && l.right[rank] >= kLeastRight) wanted.push_back(experts[rank]);
  }
  pool_.prefetch(layer, wanted);
}

void Prefetcher::judge(int layer, std::span<const int> experts) {
  Layer& l = layers_[static_cast<size_t>(layer)];
  if (l.guesses.empty()) return;
  for (size_t rank = 0; rank < l.guesses.size(); ++rank) {
    if (!l.guesses[rank].missing) continue;
    const bool right = std::ranges::find(experts, l.guesses[rank].expert) != experts.end();
    l.right[rank] += ((right ? 1.0 : 0.0) - l.right[rank]) * kWeightOfOne;
  }
  l.guesses.clear();
  pool_.cancel_prefetches(layer, experts);
}

}  // namespace sluice::residency
