#include "sluice/decode/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "sluice/base/error.h"

namespace sluice::decode {
namespace {

void require(bool ok, const char* option, double got, const char* wanted) {
  if (!ok) fail(ErrorKind::bad_request, "{} is {}, it must be {}", option, got, wanted);
}

/// NaNs are passed over; -infinity when there is nothing else.
float largest(std::span<const float> x) {
  constexpr size_t kLanes = 32;
  std::array<float, kLanes> lanes;
  lanes.fill(-std::numeric_limits<float>::infinity());
  size_t i = 0;
  for (; i + kLanes <= x.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
  }
  for (; i < x.size(); ++i) lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
  return *std::max_element(lanes.begin(), lanes.end());
}

}  // namespace

void SamplerConfig::check() const {
  require(temperature >= 0 && temperature <= 1e3, "temperature", temperature, "from 0 to 1000");
  require(top_k >= 0, "top_k", static_cast<double>(top_k), "0 (off) or more");
  require(top_p > 0 && top_p <= 1, "top_p", top_p, "above 0 and at most 1");
  require(min_p >= 0 && min_p <= 1, "min_p", min_p, "from 0 to 1");
  require(xtc_probability >= 0 && xtc_probability <= 1, "xtc_probability", xtc_probability,
          "from 0 to 1");
  require(xtc_threshold >= 0 && xtc_threshold <= 0.5, "xtc_threshold", xtc_threshold,
          "from 0 to 0.5");
  require(repetition_penalty > 0 && repetition_penalty <= 1e3, "repetition_penalty",
          repetition_penalty, "above 0 and at most 1000");
  require(std::abs(presence_penalty) <= 1e3, "presence_penalty", presence_penalty,
          "from -1000 to 1000");
  require(std::abs(frequency_penalty) <= 1e3, "frequency_penalty", frequency_penalty,
          "from -1000 to 1000");
  require(penalty_window >= 0, "penalty_window", static_cast<double>(penalty_window),
          "0 (all) or more");
}

int32_t argmax(std::span<const float> logits) {
  // A vocabulary of 262,144 is read at memory's speed only if most of it is compared without asking where it is.
  constexpr size_t kBlock = 4096;
  float most = -std::numeric_limits<float>::infinity();
  std::span<const float> best = logits;
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const auto block = logits.subspan(begin, std::min(kBlock, logits.size() - begin));
    const float top = largest(block);
    if (top > most) {
      most = top;
      best = block;
    }
  }
  const auto at = std::ranges::find(best, most);
  return at == best.end() ? -1 : static_cast<int32_t>(std::to_address(at) - logits.data());
}

int32_t best_token(std::span<const float> logits) {
  const int32_t best = argmax(logits);
  if (best < 0) fail(ErrorKind::internal, "no logit is a number");
  return best;
}

std::vector<float> Sampler::adjusted(std::span<const float> logits,
                                     std::span<const int32_t> history) const {
  std::vector<float> x(logits.begin(), logits.end());
  for (const auto& [token, bias] : config_.logit_bias) {
    if (token >= 0 && static_cast<size_t>(token) < x.size())
      x[static_cast<size_t>(token)] += static_cast<float>(bias);
  }
  if (config_.penalty_window > 0 && history.size() > static_cast<size_t>(config_.penalty_window)) {
    history = history.last(static_cast<size_t>(config_.penalty_window));
  }
  std::map<int32_t, int> counts;
  for (const int32_t token : history) ++counts[token];
  for (const auto& [token, count] : counts) {
    if (token < 0 || static_cast<size_t>(token) >= x.size()) continue;
    float& logit = x[static_cast<size_t>(token)];
    const auto repetition = static_cast<float>(config_.repetition_penalty);
    logit = logit > 0 ? logit / repetition : logit * repetition;
    logit -= static_cast<float>(config_.presence_penalty + config_.frequency_penalty * count);
  }
  return x;
}

/// The candidates after top_k and top_p, best first, with probabilities at the temperature. Only as much of
/// the vocabulary is sorted as the two need.
std::vector<Sampler::Candidate> Sampler::shortlist(const std::vector<float>& logits) const {
  const int32_t best = best_token(logits);
  const double top = logits[static_cast<size_t>(best)];
  std::vector<Candidate> all;
  all.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) continue;
    const double weight = std::exp((static_cast<double>(logits[i]) - top) / config_.temperature);
    if (weight > 0) all.push_back({static_cast<int32_t>(i), logits[i], weight});
  }
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  if (config_.top_k > 0 && static_cast<size_t>(config_.top_k) < all.size()) {
    std::nth_element(all.begin(), all.begin() + config_.top_k, all.end(), better);
    all.resize(static_cast<size_t>(config_.top_k));
  }
  const double total =
      std::accumulate(all.begin(), all.end(), 0.0,
                      [](double sum, const Candidate& c) { return sum + c.probability; });
  double reached = 0;
  size_t sorted = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (i == sorted) {  // sort the next, twice as long stretch
      const size_t next = std::min(all.size(), std::max<size_t>(64, 2 * sorted));
      std::partial_sort(all.begin() + static_cast<std::ptrdiff_t>(sorted),
                        all.begin() + static_cast<std::ptrdiff_t>(next), all.end(), better);
      sorted = next;
    }
    reached += all[i].probability;
    if (config_.top_p < 1 && reached >= config_.top_p * total) {
      all.resize(i + 1);
      break;
    }
  }
  return all;
}

int32_t Sampler::draw(const std::vector<Candidate>& candidates) {
  double total = 0;
  for (const Candidate& c : candidates) total += c.probability;
  // 53 bits to [0, 1): the standard's distributions differ between libraries.
  double left = static_cast<double>(random_() >> 11) * 0x1p-53 * total;
  for (const Candidate& c : candidates) {
    left -= c.probability;
    if (left < 0) return c.token;
  }
  return candidates.back().token;
}

int32_t Sampler::sample(std::span<const float> logits, std::span<const int32_t> history) {
  const bool plain = config_.logit_bias.empty() && config_.repetition_penalty == 1 &&
                     config_.presence_penalty == 0 && config_.frequency_penalty == 0;
  if (plain && config_.temperature == 0) return best_token(logits);
  const std::vector<float> x = adjusted(logits, history);
  if (config_.temperature == 0) return best_token(x);
  std::vector<Candidate> candidates = shortlist(x);
  if (config_.min_p > 0) {
    const double least = config_.min_p * candidates.front().probability;
    const auto end = std::find_if(candidates.begin(), candidates.end(),
                                  [&](const Candidate& c) { return c.probability < least; });
    candidates.erase(end, candidates.end());
  }
  if (config_.xtc_probability > 0) {
    double total = 0;
    for (const Candidate& c : candidates) total += c.probability;
    const auto below = std::find_if(candidates.begin(), candidates.end(), [&](const Candidate& c) {
      return c.probability < config_.xtc_threshold * total;
    });
    const bool strike = static_cast<double>(random_() >> 11) * 0x1p-53 < config_.xtc_probability;
    if (strike && below - candidates.begin() >= 2) candidates.erase(candidates.begin(), below - 1);
  }
  return draw(candidates);
}

}  // namespace sluice::decode
