#include "sluice/engine/logprobs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sluice::engine {

double log_sum(std::span<const float> logits) {
  const double most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - most);
  return most + std::log(sum);
}

float logprob_of(std::span<const float> logits, text::Token token) {
  return static_cast<float>(logits[static_cast<size_t>(token)] - log_sum(logits));
}

std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int n) {
  std::vector<text::Token> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto at = [&](text::Token id) { return logits[static_cast<size_t>(id)]; };
  const auto better = [&](text::Token a, text::Token b) {
    return at(a) > at(b) || (at(a) == at(b) && a < b);
  };
  const auto count = std::min<ptrdiff_t>(n, std::ssize(ids));
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(), better);
  const double sum = log_sum(logits);
  std::vector<TokenLogprob> top;
  for (ptrdiff_t i = 0; i < count; ++i) {
    const text::Token id = ids[static_cast<size_t>(i)];
    top.push_back({id, static_cast<float>(at(id) - sum)});
  }
  return top;
}

}  // namespace sluice::engine
