#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sluice/residency/experts/slots.h"

namespace sluice::residency {

/// What the next layer's router is applied to, or the one's after it.
enum class GuessFrom {
  output,         ///< of the layer before: nearly what it will see, and late
  part,           ///< of that output, as far as experts were in memory, while the others are read
  input,          ///< of the layer before, while its experts compute
  earlier_input,  ///< of the layer before that one
  token,          ///< nothing: it is what the token asked for when it was computed last
};
inline constexpr size_t kGuessKinds = 5;

/// Begins to read the experts that a layer will probably ask for. Guesses come ranked; how often those of a kind and rank
/// that were not in memory came true is measured all the time, also where nothing is read, and only those are read
/// that mostly do. So it stops by itself where it wastes more than it brings. One thread.
class Prefetcher {
 public:
  Prefetcher(SlotPool& pool, int n_layers);

  /// `layer` will probably ask for these, the likeliest first. From an output or a part of it: what was guessed before and
  /// is not among them is taken back, unless it is being read already.
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
  using Records = std::array<std::vector<Record>, kGuessKinds>;  // by GuessFrom and rank
  struct Layer {
    std::array<std::vector<Guess>, kGuessKinds> guesses;  // not judged yet
    Records records;
  };

  double chance(int layer, size_t kind, size_t rank) const;

  SlotPool& pool_;
  std::vector<Layer> layers_;
  Records all_layers_;
};

}  // namespace sluice::residency
