#include "sluice/ops/router.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "sluice/ops/states.h"

namespace sluice::ops {
namespace {

void softmax(float* x, int64_t n) {
  const float top = *std::max_element(x, x + n);
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] = std::exp(x[i] - top);
  for (int64_t i = 0; i < n; ++i) x[i] /= sum;
}

/// What a token chooses by: scores with their bias, those of the lesser groups as the spec says.
std::vector<float> choices(const RouterSpec& spec, std::span<const float> scores) {
  std::vector<float> choice(scores.begin(), scores.end());
  for (size_t i = 0; spec.choice_bias && i < choice.size(); ++i)
    choice[i] += (*spec.choice_bias)[i];
  if (spec.n_groups_used >= spec.n_groups) return choice;
  const size_t size = choice.size() / static_cast<size_t>(spec.n_groups);
  std::vector<std::pair<float, size_t>> groups;  // the sum of the best two, or the best, negated
  for (size_t begin = 0; begin < choice.size(); begin += size) {
    std::vector<float> of(choice.begin() + static_cast<ptrdiff_t>(begin),
                          choice.begin() + static_cast<ptrdiff_t>(begin + size));
    const size_t n = std::min<size_t>(spec.best_of_group ? 1 : 2, size);
    std::partial_sort(of.begin(), of.begin() + static_cast<ptrdiff_t>(n), of.end(),
                      std::greater<>());
    groups.emplace_back(-std::accumulate(of.begin(), of.begin() + static_cast<ptrdiff_t>(n), 0.0F),
                        begin);
  }
  std::ranges::sort(groups);
  for (auto i = static_cast<size_t>(spec.n_groups_used); i < groups.size(); ++i)
    std::fill_n(choice.begin() + static_cast<ptrdiff_t>(groups[i].second), size, spec.other_groups);
  return choice;
}

/// The best of what is left, k times; its weight is its part of a softmax over those left that are near it.
void mix_sparsely(const RouterSpec& spec, std::span<const float> scores, int32_t* ids,
                  float* weights) {
  constexpr float kTaken = -std::numeric_limits<float>::infinity();
  std::vector<float> left(scores.begin(), scores.end());
  for (int64_t r = 0; r < spec.n_experts_per_tok; ++r) {
    const auto best = std::ranges::max_element(left);
    float sum = 0;
    for (size_t i = 0; i < left.size(); ++i) {
      const bool far = (*best - scores[i]) / std::max(std::abs(scores[i]), *best) > 2 * spec.jitter;
      if (!far) sum += std::exp(left[i] - *best);
    }
    ids[r] = static_cast<int32_t>(best - left.begin());
    weights[r] = 1 / sum;
    *best = kTaken;
  }
}

/// The best k by their choice, with their scores for weights.
void take_best(const RouterSpec& spec, std::span<float> scores, int32_t* ids, float* weights) {
  using Scoring = RouterSpec::Scoring;
  const int64_t k = spec.n_experts_per_tok;
  if (spec.scoring == Scoring::softmax_then_top_k)
    softmax(scores.data(), static_cast<int64_t>(scores.size()));
  if (spec.scoring == Scoring::sigmoid_then_top_k) {
    for (float& score : scores) score = 1.0F / (1.0F + std::exp(-score));
  }
  if (spec.scoring == Scoring::root_softplus_then_top_k) {
    for (float& score : scores) score = std::sqrt(softplus(score));
  }
  const std::vector<float> choice = choices(spec, scores);
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int32_t a, int32_t b) {
    const float x = choice[static_cast<size_t>(a)];
    const float y = choice[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  float sum = spec.least_sum;
  for (int64_t r = 0; r < k; ++r) {
    ids[r] = order[static_cast<size_t>(r)];
    weights[r] = scores[static_cast<size_t>(ids[r])];
    sum += weights[r];
  }
  if (spec.scoring == Scoring::top_k_then_softmax) {
    softmax(weights, k);
  } else if (spec.renormalize) {
    for (int64_t r = 0; r < k; ++r) weights[r] /= sum;
  }
}

/// The weight of one token's choices that are no expert.
float take_identities(int64_t n_experts, int32_t* ids, const float* weights, int64_t k) {
  float sum = 0;
  for (int64_t r = 0; r < k; ++r) {
    if (ids[r] < n_experts) continue;
    ids[r] = kNoExpert;
    sum += weights[r];
  }
  return sum;
}

}  // namespace

void route(const RouterSpec& spec, std::span<float> scores, int32_t* ids, float* weights) {
  const int64_t k = spec.n_experts_per_tok;
  if (spec.cap > 0) {
    for (float& score : scores) score = spec.cap * std::tanh(score / spec.cap);
  }
  if (spec.scoring == RouterSpec::Scoring::sparse_mixer) {
    mix_sparsely(spec, scores, ids, weights);
  } else {
    take_best(spec, scores, ids, weights);
  }
  for (int64_t r = 0; spec.weight_scale != 1 && r < k; ++r) weights[r] *= spec.weight_scale;
  for (int64_t r = 0; spec.expert_scale && r < k; ++r)
    weights[r] *= (*spec.expert_scale)[static_cast<size_t>(ids[r])];
  if (spec.least_mass >= 1) return;
  double all = 0, before = 0;
  for (int64_t r = 0; r < k; ++r) all += weights[r];
  leave_out(ids, weights, k, [&](int64_t r) {
    before += r == 1 ? weights[0] : 0;
    const bool enough = before >= spec.least_mass * all;
    before += weights[r];
    return enough;
  });
}

Choice choose(const Context& context, Scratch::Frame& frame, const RouterSpec& spec,
              const Projection& projection, const kernels::Matrix& router, const Rows& rows) {
  auto* scores = frame.take<float>(rows.n * router.rows);
  const Product product{router, projection.bias ? projection.bias->data() : nullptr, scores,
                        router.rows};
  multiply_all(context, {&product, 1}, rows);
  const int64_t k = spec.n_experts_per_tok;
  const bool some = spec.n_identities > 0;
  const Choice choice{frame.take<int32_t>(rows.n * k), frame.take<float>(rows.n * k),
                      some ? frame.take<float>(rows.n) : nullptr};
  for (int64_t t = 0; t < rows.n; ++t) {
    route(spec, {scores + t * router.rows, static_cast<size_t>(router.rows)}, choice.ids + t * k,
          choice.weights + t * k);
    if (some) {
      choice.identities[t] = take_identities(router.rows - spec.n_identities, choice.ids + t * k,
                                             choice.weights + t * k, k);
    }
  }
  return choice;
}

}  // namespace sluice::ops
