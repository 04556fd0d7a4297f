#include "sluice/engine/guess_maker.h"

#include <algorithm>
#include <cmath>

#include "sluice/base/error.h"

namespace sluice::engine {
namespace {

/// Of a new measurement, what counts.
constexpr double kShare = 0.05;
/// A run of guesses ends where it is right with less than this probability.
constexpr float kLeastPath = 0.2F;
/// How many counted tokens the model's own probability weighs as much as.
constexpr double kPrior = 8;

struct Best {
  int32_t token = 0;
  float probability = 0;
};

/// The best token and softmax's probability of it.
Best best_of(std::span<const float> logits) {
  const auto best = std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit - *best));
  return {static_cast<int32_t>(best - logits.begin()), static_cast<float>(1 / sum)};
}

}  // namespace

decode::Draft GuessMaker::Guesses::draft(std::span<const int32_t> timeline, int64_t most) {
  learn(timeline);
  if (most < 1 || failed_ || timeline.empty() || !fits(timeline, most)) return {};
  if (std::ssize(timeline) != guessed_at_) {
    draft_ = {};
    probabilities_.clear();
    learned_ = 0;
    most_ = most;
    path_ = 1;
    try {
      guess(timeline, most);
    } catch (const Error&) {
      failed_ = true;
    }
    if (failed_) {  // also what was guessed before the error: nothing is learned of it
      draft_ = {};
      probabilities_.clear();
    }
    guessed_at_ = std::ssize(timeline);
  }
  decode::Draft wanted = draft_;
  const size_t n = std::min(wanted.tokens.size(), static_cast<size_t>(most));
  wanted.tokens.resize(n);
  wanted.chances.resize(n);
  return wanted;
}

/// What the timeline says by now of the tokens that were guessed.
void GuessMaker::Guesses::learn(std::span<const int32_t> timeline) {
  for (; learned_ < probabilities_.size(); ++learned_) {
    const size_t at = static_cast<size_t>(guessed_at_) + learned_;
    if (at >= timeline.size()) return;
    const bool right = timeline[at] == draft_.tokens[learned_];
    maker_.count(probabilities_[learned_], right);
    if (!right) probabilities_.resize(learned_);  // those after it were guessed for another text
  }
}

bool GuessMaker::Guesses::add(std::span<const float> logits) {
  const Best best = best_of(logits);
  const float chance = maker_.chance_of(best.probability);
  draft_.tokens.push_back(best.token);
  draft_.chances.push_back(chance);
  probabilities_.push_back(best.probability);
  path_ *= chance;
  return path_ >= kLeastPath && std::ssize(draft_.tokens) < most_;
}

float GuessMaker::chance_of(float probability) const {
  const auto i = std::min(kBins - 1, static_cast<size_t>(probability * kBins));
  return static_cast<float>((bins_[i].right + kPrior * probability) / (bins_[i].all + kPrior));
}

void GuessMaker::count(float probability, bool right) {
  Bin& bin = bins_[std::min(kBins - 1, static_cast<size_t>(probability * kBins))];
  bin.right += right ? 1 : 0;
  bin.all += 1;
  cost_.chance += kShare * ((right ? 1 : 0) - cost_.chance);
}

void GuessMaker::count_seconds(double seconds) {
  if (cost_.seconds == 0) cost_.seconds = seconds;
  cost_.seconds += kShare * (std::min(seconds, 3 * cost_.seconds) - cost_.seconds);
}

}  // namespace sluice::engine
