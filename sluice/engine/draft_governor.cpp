#include "sluice/engine/draft_governor.h"

#include <algorithm>

#include "sluice/base/error.h"

namespace sluice::engine {
namespace {

/// Of a new measurement, what counts.
constexpr double kShare = 0.2;
/// A measurement counts for no more than so many times what was measured before: a pause of the machine is none.
constexpr double kOutlier = 3;
/// Guesses that are made to learn what they take.
constexpr int64_t kTried = 2;
/// Tokens over which it is judged whether guessing gained time.
constexpr int64_t kJudged = 8;
constexpr double kMostMargin = 0.5;
/// Tokens for which the time would be enough that is lost with a step which is not begun ahead.
constexpr double kLostAhead = 0.1;
/// What a step without guesses leaves of it.
constexpr double kMarginFade = 0.99;

}  // namespace

std::string_view to_string(Speculation speculation) {
  switch (speculation) {
    case Speculation::automatic:
      return "auto";
    case Speculation::off:
      return "off";
    case Speculation::always:
      return "always";
  }
  return "";
}

Speculating speculating_named(std::string_view name) {
  for (const auto speculation : {Speculation::automatic, Speculation::off, Speculation::always}) {
    if (to_string(speculation) == name) return {speculation, Guessers::all};
  }
  if (name == "match") return {.guessers = Guessers::matches};
  if (name == "mtp") return {.guessers = Guessers::layer};
  if (name == "draft") return {.guessers = Guessers::model};
  fail(ErrorKind::bad_request,
       "speculation is {}, it must be auto, off, always, match, mtp or draft", name);
}

double DraftGovernor::seconds_of(int64_t n_rows) const {
  const int64_t wanted = std::min(n_rows, kMostRows);
  const auto at = [&](int64_t n) { return seconds_[static_cast<size_t>(n)]; };
  int64_t below = wanted, above = wanted;
  while (below > 0 && at(below) == 0) --below;
  while (above <= kMostRows && at(above) == 0) ++above;
  if (below == 0 && above > kMostRows) return 0;
  const auto line = [&](int64_t n) { return 1 + row_cost_ * static_cast<double>(n - 1); };
  if (below == 0) return at(above) * line(wanted) / line(above);
  if (above > kMostRows) return at(below) * line(wanted) / line(below);
  if (below == above) return at(below);
  const double share = static_cast<double>(wanted - below) / static_cast<double>(above - below);
  return at(below) + share * (at(above) - at(below));
}

void DraftGovernor::add(int64_t n_sequences, int64_t n_rows, int64_t n_tokens, double seconds,
                        double guessing_seconds) {
  if (n_rows < 1 || n_rows > kMostRows) return;
  if (n_rows > n_sequences) {
    judge(n_sequences, n_tokens, seconds + guessing_seconds);
  } else {
    margin_ = std::max(kLeastMargin, margin_ * kMarginFade);
  }
  double& smoothed = seconds_[static_cast<size_t>(n_rows)];
  smoothed = smoothed == 0
                 ? seconds
                 : smoothed + kShare * (std::min(seconds, kOutlier * smoothed) - smoothed);
}

/// Where guessing loses time, it must promise twice as much to be tried again.
void DraftGovernor::judge(int64_t n_sequences, int64_t n_tokens, double seconds) {
  judged_seconds_ += seconds;
  plain_seconds_ +=
      seconds_of(n_sequences) * static_cast<double>(n_tokens) / static_cast<double>(n_sequences);
  judged_tokens_ += n_tokens;
  if (judged_tokens_ < kJudged) return;
  margin_ = judged_seconds_ > plain_seconds_ ? std::min(kMostMargin, 2 * margin_)
                                             : std::max(kLeastMargin, margin_ / 2);
  judged_seconds_ = plain_seconds_ = 0;
  judged_tokens_ = 0;
}

int64_t DraftGovernor::worth_making(int64_t n_sequences, int64_t n_rows, const DraftCost& cost,
                                    int64_t most) const {
  if (speculation_ == Speculation::off) return 0;
  if (speculation_ == Speculation::always) return most;
  const double plain = seconds_of(n_rows);
  if (plain == 0) return 0;
  if (cost.seconds == 0) return std::min(most, kTried);
  int64_t best = 0;
  auto tokens = static_cast<double>(n_sequences);
  double best_rate = (tokens + kLostAhead) / plain * (1 + margin_), path = 1;
  for (int64_t n = 1; n <= most; ++n) {
    tokens += path *= cost.chance;
    const double seconds = seconds_of(n_rows + n) + static_cast<double>(n) * cost.seconds;
    if (tokens / seconds <= best_rate) continue;
    best = n;
    best_rate = tokens / seconds;
  }
  return best;
}

std::vector<int64_t> DraftGovernor::choose(std::span<const std::vector<float>> chances,
                                           int64_t n_rows, int64_t most) const {
  std::vector<int64_t> counts(chances.size(), 0);
  if (speculation_ == Speculation::off) return counts;
  struct Candidate {
    double
        probability;  // of the whole path, so that a guess never comes before the one that it follows
    size_t sequence;
  };
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < chances.size(); ++i) {
    double path = 1;
    for (const float chance : chances[i]) candidates.push_back({path *= chance, i});
  }
  std::ranges::stable_sort(candidates, std::ranges::greater{}, &Candidate::probability);
  candidates.resize(std::min(candidates.size(), static_cast<size_t>(std::max<int64_t>(most, 0))));
  size_t best = candidates.size();
  if (speculation_ == Speculation::automatic) {
    best = 0;
    auto tokens = static_cast<double>(chances.size());
    const double plain = seconds_of(n_rows);
    if (plain == 0) return counts;
    double best_rate = (tokens + kLostAhead) / plain * (1 + margin_);
    for (size_t n = 1; n <= candidates.size(); ++n) {
      tokens += candidates[n - 1].probability;
      const double rate = tokens / seconds_of(n_rows + static_cast<int64_t>(n));
      if (rate <= best_rate) continue;
      best = n;
      best_rate = rate;
    }
  }
  for (size_t n = 0; n < best; ++n) ++counts[candidates[n].sequence];
  return counts;
}

}  // namespace sluice::engine
