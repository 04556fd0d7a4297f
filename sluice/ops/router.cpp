#include "sluice/ops/router.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace sluice::ops {
namespace {

void softmax(float* x, int64_t n) {
  const float top = *std::max_element(x, x + n);
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] = std::exp(x[i] - top);
  for (int64_t i = 0; i < n; ++i) x[i] /= sum;
}

}  // namespace

void route(const RouterSpec& spec, std::span<float> scores, int32_t* ids, float* weights) {
  const int64_t k = spec.n_experts_per_tok;
  if (spec.scoring == RouterSpec::Scoring::softmax_then_top_k) {
    softmax(scores.data(), static_cast<int64_t>(scores.size()));
  }
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int32_t a, int32_t b) {
    const float x = scores[static_cast<size_t>(a)];
    const float y = scores[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  float sum = 0;
  for (int64_t r = 0; r < k; ++r) {
    ids[r] = order[static_cast<size_t>(r)];
    weights[r] = scores[static_cast<size_t>(ids[r])];
    sum += weights[r];
  }
  if (spec.scoring == RouterSpec::Scoring::top_k_then_softmax) {
    softmax(weights, k);
  } else if (spec.renormalize) {
    for (int64_t r = 0; r < k; ++r) weights[r] /= sum;
  }
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
  const Choice choice{frame.take<int32_t>(rows.n * k), frame.take<float>(rows.n * k)};
  for (int64_t t = 0; t < rows.n; ++t) {
    route(spec, {scores + t * router.rows, static_cast<size_t>(router.rows)}, choice.ids + t * k,
          choice.weights + t * k);
  }
  return choice;
}

}  // namespace sluice::ops
