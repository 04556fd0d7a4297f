#pragma once

#include <memory>
#include <span>
#include <vector>

#include "sluice/decode/drafter.h"
#include "sluice/engine/draft_governor.h"
#include "sluice/engine/guess_maker.h"
#include "sluice/engine/sequence.h"

namespace sluice::engine {

/// What of the guesses at tokens to come a step checks: each sequence's drafters make them, those that compute
/// only where that is worth its time, and the governor chooses among them. Belongs to the engine's thread.
class Guesser {
 public:
  /// row_cost: DraftGovernor's. matches: what the text repeats is guessed. maker: outlives it; null: no guesses are
  /// computed.
  Guesser(Speculation speculation, double row_cost, bool matches, GuessMaker* maker)
      : speculation_(speculation),
        governor_(speculation, row_cost),
        matches_(matches),
        maker_(maker) {}

  /// An entry for each sequence of a step, or none at all; together at most `most` tokens.
  std::vector<decode::Draft> guesses_for(std::span<const std::shared_ptr<Sequence>> sequences,
                                         int64_t most);

  /// Whether guesses were to be computed last: a step that is begun ahead would be given up, and compute beside that.
  bool makes_guesses() const { return makes_guesses_; }

  /// A step is over. seconds: since the one before. The rest as DraftGovernor::add().
  void learn(int64_t n_sequences, int64_t n_rows, int64_t n_tokens, double seconds);
  /// The same of a step that was not decoding alone.
  void learn_nothing() { making_seconds_ = 0; }

 private:
  int64_t worth_making(const Sequence& sequence, int64_t n_sequences, int64_t n_rows) const;

  Speculation speculation_;
  DraftGovernor governor_;
  bool matches_;
  GuessMaker* maker_;
  bool makes_guesses_ = false;
  double making_seconds_ = 0;  // since the last step was over
};

}  // namespace sluice::engine
