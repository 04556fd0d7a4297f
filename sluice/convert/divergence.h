#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sluice::convert {

/// How far one model's predictions are from another's, position by position.
class Divergence {
 public:
  struct Summary {
    int64_t n = 0;
    double mean = 0;                                ///< nats
    double median = 0, p90 = 0, p99 = 0, most = 0;  ///< of positions' divergences
    double same_top = 0;  ///< share of positions whose likeliest token is the same
    double perplexity_a = 0, perplexity_b = 0;
  };

  /// Logits of both after a token, and the token that follows. Sums in double.
  void add(std::span<const float> a, std::span<const float> b, int64_t next);
  /// Throws Error(bad_request) when nothing was added.
  Summary summary() const;
  double mean() const;  ///< so far

 private:
  std::vector<double> divergences_;  // of each position, KL(a || b)
  int64_t same_top_ = 0;
  double surprise_a_ = 0, surprise_b_ = 0;
};

}  // namespace sluice::convert
