#include "sluice/residency/prefetcher.h"

#include <algorithm>

namespace sluice::residency {
namespace {

/// A wrong guess costs a read, a right one saves waiting for it. By GuessFrom: a doubtful expert had better wait for
/// the next guess, which will know more.
constexpr std::array<double, 3> kLeastRight = {0.6, 0.7, 0.8};
/// How fast a record forgets.
constexpr double kWeightOfOne = 1.0 / 64;
/// What a rank is believed to be before it was measured, and how many guesses of any layer change that, of this layer
/// what the others say.
constexpr double kAssumed = 0.65;
constexpr double kGuessesOfAll = 4, kGuessesOfLayer = 16;

}  // namespace

void Prefetcher::Record::add(bool came_true) {
  right += (came_true ? 1.0 : 0.0) - right * kWeightOfOne;
  all += 1.0 - all * kWeightOfOne;
}

void Prefetcher::Ranks::grow(size_t n) { records.resize(std::max(records.size(), n)); }

Prefetcher::Prefetcher(SlotPool& pool, int n_layers)
    : pool_(pool), layers_(static_cast<size_t>(n_layers)) {}

double Prefetcher::chance(int layer, size_t kind, size_t rank) const {
  const Record& all = all_layers_[kind].records[rank];
  const Record& own = layers_[static_cast<size_t>(layer)][kind].records[rank];
  const double others = (all.right + kAssumed * kGuessesOfAll) / (all.all + kGuessesOfAll);
  return (own.right + others * kGuessesOfLayer) / (own.all + kGuessesOfLayer);
}

void Prefetcher::guess(int layer, GuessFrom from, std::span<const int> experts) {
  const auto kind = static_cast<size_t>(from);
  Ranks& ranks = layers_[static_cast<size_t>(layer)][kind];
  ranks.guesses.clear();
  ranks.grow(experts.size());
  all_layers_[kind].grow(experts.size());
  if (from == GuessFrom::output) pool_.cancel_prefetches(layer, experts);
  std::vector<int> wanted;
  for (size_t rank = 0; rank < experts.size(); ++rank) {
    const bool missing = !pool_.holds(layer, experts[rank]);
    ranks.guesses.push_back({experts[rank], missing});
    if (missing && chance(layer, kind, rank) >= kLeastRight[kind]) wanted.push_back(experts[rank]);
  }
  pool_.prefetch(layer, wanted);
}

void Prefetcher::judge(int layer, std::span<const int> experts) {
  bool guessed = false;
  for (size_t kind = 0; kind < all_layers_.size(); ++kind) {
    Ranks& ranks = layers_[static_cast<size_t>(layer)][kind];
    for (size_t rank = 0; rank < ranks.guesses.size(); ++rank) {
      if (!ranks.guesses[rank].missing) continue;
      const bool right = std::ranges::find(experts, ranks.guesses[rank].expert) != experts.end();
      ranks.records[rank].add(right);
      all_layers_[kind].records[rank].add(right);
    }
    guessed = guessed || !ranks.guesses.empty();
    ranks.guesses.clear();
  }
  if (guessed) pool_.cancel_prefetches(layer, experts);
}

}  // namespace sluice::residency
