#pragma once

#include <memory>
#include <span>
#include <vector>

#include "sluice/decode/drafter.h"
#include "sluice/engine/draft_governor.h"
#include "sluice/engine/draft_model.h"
#include "sluice/engine/sequence.h"

namespace sluice::engine {

/// What of the guesses at tokens to come a step checks: each sequence's drafters make them, a smaller model only where
/// that is worth its time, and the governor chooses among them. Belongs to the engine's thread.
class Guesser {
 public:
  /// row_cost: DraftGovernor's. draft_model: outlives it; null: there is none.
  Guesser(Speculation speculation, double row_cost, DraftModel* draft_model)
      : speculation_(speculation), governor_(speculation, row_cost), draft_model_(draft_model) {}

  /// An entry for each sequence of a step, or none at all; together at most `most` tokens.
  std::vector<decode::Draft> guesses_for(std::span<const std::shared_ptr<Sequence>> sequences,
                                         int64_t most);

  /// Whether the draft model had something to say last: a step that is begun ahead would be given up, and compute beside it.
  bool makes_guesses() const { return makes_guesses_; }

  /// A step is over. seconds: since the one before. The rest as DraftGovernor::add().
  void learn(int64_t n_sequences, int64_t n_rows, int64_t n_tokens, double seconds);
  /// The same of a step that was not decoding alone.
  void learn_nothing() { making_seconds_ = 0; }

 private:
  int64_t worth_making(const Sequence& sequence, int64_t n_sequences, int64_t n_rows) const;

  Speculation speculation_;
  DraftGovernor governor_;
  DraftModel* draft_model_;
  bool makes_guesses_ = false;
  double making_seconds_ = 0;  // since the last step was over
};

}  // namespace sluice::engine
