#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sluice/residency/slots.h"

namespace sluice::residency {

/// Begins to read the experts that a layer will probably ask for. Guesses come ranked; how often a guess of a
/// layer and rank that was not in memory came true is measured all the time, also where nothing is read, and only those are read
/// that mostly do. So it stops by itself where it wastes more than it brings. One thread.
class Prefetcher {
 public:
  Prefetcher(SlotPool& pool, int n_layers);

  /// `layer` will probably ask for these, the likeliest first.
  void guess(int layer, std::span<const int> experts);

  /// What it does ask for. Guesses that are wrong and were not begun to be read are taken back.
  void judge(int layer, std::span<const int> experts);

 private:
  struct Guess {
    int expert = 0;
    bool missing = false;  // from memory, when it was made
  };
  struct Layer {
    std::vector<Guess> guesses;  // not judged yet, by rank
    std::vector<double> right;   // by rank: the share of missing guesses that came true, lately
  };

  SlotPool& pool_;
  std::vector<Layer> layers_;
};

}  // namespace sluice::residency
