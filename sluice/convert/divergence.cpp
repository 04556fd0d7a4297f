#include "sluice/convert/divergence.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sluice/base/error.h"
#include "sluice/engine/logprobs.h"

namespace sluice::convert {

void Divergence::add(std::span<const float> a, std::span<const float> b, int64_t next) {
  const double sum_a = engine::log_sum(a), sum_b = engine::log_sum(b);
  double divergence = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double log_a = static_cast<double>(a[i]) - sum_a;
    const double log_b = static_cast<double>(b[i]) - sum_b;
    divergence += std::exp(log_a) * (log_a - log_b);
  }
  divergences_.push_back(std::max(divergence, 0.0));  // below zero by rounding alone
  const auto top = [](std::span<const float> x) { return std::ranges::max_element(x) - x.begin(); };
  same_top_ += static_cast<int64_t>(top(a) == top(b));
  surprise_a_ += sum_a - static_cast<double>(a[static_cast<size_t>(next)]);
  surprise_b_ += sum_b - static_cast<double>(b[static_cast<size_t>(next)]);
}

double Divergence::mean() const {
  return std::reduce(divergences_.begin(), divergences_.end()) /
         static_cast<double>(divergences_.size());
}

Divergence::Summary Divergence::summary() const {
  if (divergences_.empty()) fail(ErrorKind::bad_request, "there are no predictions to compare");
  std::vector<double> sorted = divergences_;
  std::ranges::sort(sorted);
  const auto n = static_cast<double>(sorted.size());
  const auto percentile = [&](double share) {
    return sorted[static_cast<size_t>(share * (n - 1) + 0.5)];
  };
  return {.n = static_cast<int64_t>(sorted.size()),
          .mean = mean(),
          .median = percentile(0.5),
          .p90 = percentile(0.9),
          .p99 = percentile(0.99),
          .most = sorted.back(),
          .same_top = static_cast<double>(same_top_) / n,
          .perplexity_a = std::exp(surprise_a_ / n),
          .perplexity_b = std::exp(surprise_b_ / n)};
}

}  // namespace sluice::convert
