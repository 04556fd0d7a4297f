#include "sluice/decode/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "sluice/base/error.h"
#include "sluice/decode/philox.h"

namespace sluice::decode {
namespace {

/// The draws that one token may take.
enum Draw : uint32_t { kToken = 0, kXtc = 1 };

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
  for (const auto& [token, bias] : logit_bias) {
    if (!(std::abs(bias) <= std::numeric_limits<float>::max())) {
      fail(ErrorKind::bad_request,
           "logit_bias of token {} is {}, it must be finite as float32; -1e9 forbids a token, 1e9 "
           "forces it",
           token, bias);
    }
  }
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
  if (most == -std::numeric_limits<float>::infinity()) return -1;
  const auto at = std::ranges::find(best, most);
  return static_cast<int32_t>(std::to_address(at) - logits.data());
}

int32_t best_token(std::span<const float> logits) {
  const int32_t best = argmax(logits);
  if (best < 0)
    fail(ErrorKind::internal, "all {} logits are NaN or -infinity: no token can follow",
         logits.size());
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

namespace {

/// A token that may still be chosen.
struct Candidate {
  int32_t token;
  float logit;
  double weight;  // its probability over that of the best token
};

bool better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

bool by_id(const Candidate& a, const Candidate& b) { return a.token < b.token; }

/// Never empty, and between two stages in the order of ids: what the standard library leaves of an order, and
/// with it the rounding of sums, differs between machines.
using Candidates = std::vector<Candidate>;

double total_weight(const Candidates& candidates) {
  return std::accumulate(candidates.begin(), candidates.end(), 0.0,
                         [](double sum, const Candidate& c) { return sum + c.weight; });
}

Candidates all_candidates(std::span<const float> logits, double temperature) {
  const float top = logits[static_cast<size_t>(best_token(logits))];
  Candidates all;
  all.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    // The best are told apart first, since the difference of two infinities is no number.
    const double below = static_cast<double>(logits[i]) - static_cast<double>(top);
    const double weight = logits[i] == top ? 1 : std::exp(below / temperature);
    if (weight > 0) all.push_back({static_cast<int32_t>(i), logits[i], weight});  // NaN is not
  }
  return all;
}

void keep_top_k(Candidates& all, int64_t top_k) {
  if (top_k == 0 || top_k >= std::ssize(all)) return;
  std::nth_element(all.begin(), all.begin() + top_k, all.end(), better);
  all.resize(static_cast<size_t>(top_k));
  std::sort(all.begin(), all.end(), by_id);
}

/// Sorts only as much as it keeps, in stretches that double.
void keep_top_p(Candidates& all, double top_p) {
  if (top_p >= 1) return;
  const double wanted = top_p * total_weight(all);
  double reached = 0;
  std::ptrdiff_t kept = 0, sorted = 0;
  while (kept < std::ssize(all) && reached < wanted) {
    if (kept == sorted) {
      sorted = std::min(std::ssize(all), std::max<std::ptrdiff_t>(64, 2 * sorted));
      std::partial_sort(all.begin() + kept, all.begin() + sorted, all.end(), better);
    }
    reached += all[static_cast<size_t>(kept++)].weight;
  }
  all.resize(static_cast<size_t>(std::max<std::ptrdiff_t>(kept, 1)));
  std::sort(all.begin(), all.end(), by_id);
}

/// The best has weight 1.
void keep_min_p(Candidates& all, double min_p) {
  std::erase_if(all, [&](const Candidate& c) { return c.weight < min_p; });
}

void exclude_top_choices(Candidates& all, double threshold) {
  const double least = threshold * total_weight(all);
  const auto is_likely = [&](const Candidate& c) { return c.weight >= least; };
  const Candidate* kept = nullptr;  // the worst of the likely ones
  for (const Candidate& c : all) {
    if (is_likely(c) && (kept == nullptr || better(*kept, c))) kept = &c;
  }
  if (kept == nullptr) return;
  std::erase_if(all, [&, token = kept->token](const Candidate& c) {
    return is_likely(c) && c.token != token;
  });
}

/// random: uniform in [0, 1).
int32_t draw(const Candidates& candidates, double random) {
  double left = random * total_weight(candidates);
  for (const Candidate& c : candidates) {
    left -= c.weight;
    if (left < 0) return c.token;
  }
  return candidates.back().token;  // rounding
}

}  // namespace

int32_t Sampler::sample(std::span<const float> logits, std::span<const int32_t> history,
                        int64_t position) const {
  const SamplerConfig& c = config_;
  const bool plain = c.logit_bias.empty() && c.repetition_penalty == 1 && c.presence_penalty == 0 &&
                     c.frequency_penalty == 0;
  if (plain && c.temperature == 0) return best_token(logits);
  const std::vector<float> x = adjusted(logits, history);
  if (c.temperature == 0) return best_token(x);
  const auto random = [&](Draw which) {
    return uniform(c.seed, static_cast<uint64_t>(position), which);
  };
  Candidates candidates = all_candidates(x, c.temperature);
  keep_top_k(candidates, c.top_k);
  keep_top_p(candidates, c.top_p);
  keep_min_p(candidates, c.min_p);
  if (c.xtc_probability > 0 && random(kXtc) < c.xtc_probability)
    exclude_top_choices(candidates, c.xtc_threshold);
  return draw(candidates, random(kToken));
}

}  // namespace sluice::decode
