#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace sluice::decode {

/// How the next token is chosen. The stages run in this order, each on what the one before left, and none leaves
/// nothing:
///   1. logit_bias            added to the named tokens' logits
///   2. repetition_penalty    logits of recent tokens divided (positive) or multiplied (negative) by it
///                            (Keskar et al. 2019, arXiv:1909.05858)
///      presence_penalty      subtracted once from each recent token, frequency_penalty once per occurrence
///   3. temperature           logits divided by it; 0 takes the best token (lowest id among equals) and ends here
///   4. top_k                 the k best
///   5. top_p                 the smallest set of best tokens whose probabilities reach p (arXiv:1904.09751)
///   6. min_p                 those with at least min_p times the best one's probability (arXiv:2407.01082)
///   7. XTC                   with xtc_probability, drop all but the least likely of the tokens above xtc_threshold
///   8. a draw by the probabilities that are left, in the order of ids
struct SamplerConfig {
  double temperature = 0.0;
  int64_t top_k = 0;   ///< 0: off
  double top_p = 1.0;  ///< 1: off
  double min_p = 0.0;  ///< 0: off
  double xtc_probability = 0.0;
  double xtc_threshold = 0.1;
  double repetition_penalty = 1.0;  ///< 1: off
  double presence_penalty = 0.0;
  double frequency_penalty = 0.0;
  int64_t penalty_window = 64;  ///< how many of the last tokens the penalties see; 0: all
  std::map<int32_t, double> logit_bias = {};  ///< by token; finite as float32
  uint64_t seed = 0;

  /// Throws Error(bad_request) naming the first option that is out of range.
  void check() const;
};

/// Chooses tokens. Same config, logits, history and position: same token, on every machine, whatever was chosen
/// before: random numbers depend on seed and position alone (philox.h), so that a choice can be made again or ahead.
class Sampler {
 public:
  explicit Sampler(SamplerConfig config) : config_(std::move(config)) { config_.check(); }

  /// logits: [vocab_size]. history: the sequence so far, for the penalties. position: of the token that is chosen,
  /// in its sequence. A token whose logit is NaN or -infinity is never chosen, one of +infinity before all others;
  /// throws Error(internal) when no token may be.
  int32_t sample(std::span<const float> logits, std::span<const int32_t> history,
                 int64_t position) const;

 private:
  std::vector<float> adjusted(std::span<const float> logits,
                              std::span<const int32_t> history) const;

  SamplerConfig config_;
};

/// The id of the largest logit, the lowest among equals; NaN and -infinity are passed over. -1 when nothing is left.
int32_t argmax(std::span<const float> logits);

/// The same; throws Error(internal) when nothing is left.
int32_t best_token(std::span<const float> logits);

}  // namespace sluice::decode
