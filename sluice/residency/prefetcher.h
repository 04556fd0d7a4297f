#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sluice/residency/slots.h"

namespace sluice::residency {

/// What the next layer's router is applied to, or the one's after it.
enum class GuessFrom {
  output,         ///< of the layer before: nearly what it will see, and late
  input,          ///< of the layer before, while its experts compute
  earlier_input,  ///< of the layer before that one
};

/// Begins to read the experts that a layer will probably ask for. Guesses come ranked; how often those of a kind and rank
/// that were not in memory came true is measured all the time, also where nothing is read, and only those are read
/// that mostly do. So it stops by itself where it wastes more than it brings. One thread.
class Prefetcher {
 public:
  Prefetcher(SlotPool& pool, int n_layers);

  /// `layer` will probably ask for these, the likeliest first. From its output: what was guessed before and is
  /// not among them is taken back, unless it is being read already.
  void guess(int layer, GuessFrom from, std::span<const int> experts);

  /// What it does ask for. Guesses that are wrong and were not begun to be read are taken back.
  void judge(int layer, std::span<const int> experts);

 private:
  struct Guess {
    int expert = 0;
    bool missing = false;  // from memory, when it was made
  };
  /// How many guesses of a rank were missing and came true, the older the less they count.
  struct Record {
    double right = 0, all = 0;
    void add(bool came_true);
  };
  struct Ranks {
    std::vector<Guess> guesses;  // not judged yet
    std::vector<Record> records;
    void grow(size_t n);
  };
  using Kinds = std::array<Ranks, 3>;  // by GuessFrom

  double chance(int layer, size_t kind, size_t rank) const;

  SlotPool& pool_;
  std::vector<Kinds> layers_;
  Kinds all_layers_;  // only records
};

}  // namespace sluice::residency
