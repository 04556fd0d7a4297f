#include "sluice/residency/experts/prefetcher.h"

#include <algorithm>

namespace sluice::residency {
namespace {

/// A wrong guess costs a read, a right one saves waiting for it. By GuessFrom: a doubtful expert had better wait for
/// the next guess, which will know more.
constexpr std::array<double, kGuessKinds> kLeastRight = {0.65, 0.65, 0.75, 0.85, 0.75};
/// How fast a record forgets.
constexpr double kWeightOfOne = 1.0 / 64;
/// What a rank is believed to be before it was measured, and how many guesses of any layer change that, of this layer
/// what the others say.
constexpr double kAssumed = 0.7;
constexpr double kGuessesOfAll = 4, kGuessesOfLayer = 16;

}  // namespace

void Prefetcher::Record::add(bool came_true) {
  right += (came_true ? 1.0 : 0.0) - right * kWeightOfOne;
  all += 1.0 - all * kWeightOfOne;
}

Prefetcher::Prefetcher(SlotPool& pool, int n_layers)
    : pool_(pool), layers_(static_cast<size_t>(n_layers)) {}

double Prefetcher::chance(int layer, size_t kind, size_t rank) const {
  const Record& all = all_layers_[kind][rank];
  const Record& own = layers_[static_cast<size_t>(layer)].records[kind][rank];
  const double others = (all.right + kAssumed * kGuessesOfAll) / (all.all + kGuessesOfAll);
  return (own.right + others * kGuessesOfLayer) / (own.all + kGuessesOfLayer);
}

void Prefetcher::guess(int layer, GuessFrom from, std::span<const int> experts) {
  const auto kind = static_cast<size_t>(from);
  Layer& told = layers_[static_cast<size_t>(layer)];
  told.guesses[kind].clear();
  for (std::vector<Record>* records : {&told.records[kind], &all_layers_[kind]}) {
    records->resize(std::max(records->size(), experts.size()));
  }
  if (from == GuessFrom::output || from == GuessFrom::part) {
    pool_.cancel_prefetches(layer, experts);
  }
  std::vector<int> wanted;
  for (size_t rank = 0; rank < experts.size(); ++rank) {
    const bool missing = !pool_.holds(layer, experts[rank]);
    told.guesses[kind].push_back({experts[rank], missing});
    if (missing && chance(layer, kind, rank) >= kLeastRight[kind]) wanted.push_back(experts[rank]);
  }
  pool_.prefetch(layer, wanted);
}

void Prefetcher::judge(int layer, std::span<const int> experts) {
  bool guessed = false;
  Layer& told = layers_[static_cast<size_t>(layer)];
  for (size_t kind = 0; kind < kGuessKinds; ++kind) {
    std::vector<Guess>& guesses = told.guesses[kind];
    for (size_t rank = 0; rank < guesses.size(); ++rank) {
      if (!guesses[rank].missing) continue;
      const bool right = std::ranges::find(experts, guesses[rank].expert) != experts.end();
      told.records[kind][rank].add(right);
      all_layers_[kind][rank].add(right);
    }
    guessed = guessed || !guesses.empty();
    guesses.clear();
  }
  if (guessed) pool_.cancel_prefetches(layer, experts);
}

}  // namespace sluice::residency
