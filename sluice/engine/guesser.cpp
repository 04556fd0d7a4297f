#include "sluice/engine/guesser.h"

#include <algorithm>
#include <chrono>

namespace sluice::engine {
namespace {

using Clock = std::chrono::steady_clock;

/// Where computing guesses loses time, it is tried again after so many tokens: a text changes.
constexpr int64_t kTriedEvery = 64;
constexpr int64_t kTried = 2;

}  // namespace

int64_t Guesser::worth_making(const Sequence& sequence, int64_t n_sequences, int64_t n_rows) const {
  if (maker_ == nullptr) return 0;
  const int64_t n =
      governor_.worth_making(n_sequences, n_rows, maker_->cost(), DraftGovernor::kMostGuesses);
  return n == 0 && sequence.n_generated() % kTriedEvery == 1 ? kTried : n;
}

std::vector<decode::Draft> Guesser::guesses_for(
    std::span<const std::shared_ptr<Sequence>> sequences, int64_t most) {
  std::vector<decode::Draft> drafts;
  makes_guesses_ = false;
  if (speculation_ == Speculation::off) return drafts;
  const auto start = Clock::now();
  int64_t n_rows = 0;
  for (const auto& sequence : sequences)
    n_rows += std::max<int64_t>(1, sequence->n_missing());  // or none, with a step ahead
  std::vector<std::vector<float>> chances;
  for (const auto& sequence : sequences) {
    const int64_t n = worth_making(*sequence, std::ssize(sequences), n_rows);
    makes_guesses_ = makes_guesses_ || n > 0;
    drafts.push_back(sequence->draft(matches_, maker_, n));
    chances.push_back(drafts.back().chances);
  }
  const std::vector<int64_t> counts = governor_.choose(chances, n_rows, most);
  for (size_t i = 0; i < drafts.size(); ++i)
    drafts[i].tokens.resize(static_cast<size_t>(counts[i]));
  making_seconds_ += std::chrono::duration<double>(Clock::now() - start).count();
  return drafts;
}

void Guesser::learn(int64_t n_sequences, int64_t n_rows, int64_t n_tokens, double seconds) {
  governor_.add(n_sequences, n_rows, n_tokens, std::max(0.0, seconds - making_seconds_),
                making_seconds_);
  making_seconds_ = 0;
}

}  // namespace sluice::engine
