#include "sluice/ops/moe.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "sluice/ops/kernel_op.h"

namespace sluice::ops {
namespace {

void softmax(float* x, int64_t n) {
  const float top = *std::max_element(x, x + n);
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] = std::exp(x[i] - top);
  for (int64_t i = 0; i < n; ++i) x[i] /= sum;
}

/// One token's choice. scores: [n_experts], overwritten.
void route_token(const RouterSpec& spec, std::vector<float>& scores, int32_t* ids, float* weights) {
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
}

/// The (token, rank) pairs of a step, sorted by expert: pair `order[i]` is row i of the gathered input.
struct Assignment {
  std::vector<int32_t> order;
  std::vector<int64_t> begin;  ///< expert e has rows [begin[e], begin[e + 1])
};

Assignment sort_by_expert(const int32_t* ids, int64_t n_pairs, size_t n_experts) {
  Assignment a;
  a.begin.assign(n_experts + 1, 0);
  for (int64_t p = 0; p < n_pairs; ++p) ++a.begin[static_cast<size_t>(ids[p]) + 1];
  std::partial_sum(a.begin.begin(), a.begin.end(), a.begin.begin());
  a.order.resize(static_cast<size_t>(n_pairs));
  std::vector<int64_t> next(a.begin.begin(), a.begin.end() - 1);
  for (int64_t p = 0; p < n_pairs; ++p) {
    a.order[static_cast<size_t>(next[static_cast<size_t>(ids[p])]++)] = static_cast<int32_t>(p);
  }
  return a;
}

/// y = matrices[e] @ x (+ bias[e]) for the rows of every expert e; x: [n_pairs, cols], y: [n_pairs, rows].
/// Work is split over (expert, part of its rows), so that few active experts still use every thread.
void expert_matmul(const Context& context, const std::vector<residency::Weight>& weights,
                   const std::vector<Vector>& bias, const Assignment& a, const float* x, float* y) {
  std::vector<size_t> active;
  for (size_t e = 0; e + 1 < a.begin.size(); ++e) {
    if (a.begin[e] != a.begin[e + 1]) active.push_back(e);
  }
  const int64_t rows = weights[0].rows();
  const int64_t parts = std::clamp<int64_t>(rows / 32, 1, 4L * context.pool.size());
  const int64_t part_rows = (rows + parts - 1) / parts;
  context.pool.parallel_for(static_cast<int64_t>(active.size()) * parts, 1,
                            [&](int64_t begin, int64_t end) {
                              for (int64_t item = begin; item < end; ++item) {
                                const size_t e = active[static_cast<size_t>(item / parts)];
                                const int64_t row_begin = item % parts * part_rows;
                                const int64_t row_end = std::min(rows, row_begin + part_rows);
                                if (row_begin >= row_end) continue;
                                const kernels::Matrix w = context.weights.acquire(weights[e]);
                                const int64_t first = a.begin[e];
                                const int64_t n = a.begin[e + 1] - first;
                                context.kernels.matmul(w, row_begin, row_end, x + first * w.cols,
                                                       w.cols, n, y + first * rows, rows);
                                if (bias.empty()) continue;
                                for (int64_t t = first; t < first + n; ++t) {
                                  for (int64_t r = row_begin; r < row_end; ++r)
                                    y[t * rows + r] += (*bias[e])[static_cast<size_t>(r)];
                                }
                              }
                            });
}

void run_experts(const Context& context, const Experts& experts, const float* x, const int32_t* ids,
                 const float* weights, int64_t n_tokens, int64_t k, int64_t hidden, float* out) {
  const int64_t n_pairs = n_tokens * k;
  const Assignment a = sort_by_expert(ids, n_pairs, experts.gate.size());
  const int64_t inner = experts.gate[0].rows();
  std::vector<float> gathered(static_cast<size_t>(n_pairs * hidden));
  std::vector<float> gate(static_cast<size_t>(n_pairs * inner));
  std::vector<float> up(gate.size());
  for (int64_t i = 0; i < n_pairs; ++i) {
    const int64_t token = a.order[static_cast<size_t>(i)] / k;
    std::memcpy(&gathered[static_cast<size_t>(i * hidden)], x + token * hidden,
                static_cast<size_t>(hidden) * sizeof(float));
  }
  expert_matmul(context, experts.gate, experts.gate_bias, a, gathered.data(), gate.data());
  expert_matmul(context, experts.up, experts.up_bias, a, gathered.data(), up.data());
  context.pool.parallel_for(n_pairs, 4, [&](int64_t begin, int64_t end) {
    context.kernels.gated(experts.activation, experts.limit,
                          &gate[static_cast<size_t>(begin * inner)],
                          &up[static_cast<size_t>(begin * inner)], (end - begin) * inner,
                          &gate[static_cast<size_t>(begin * inner)]);
  });
  expert_matmul(context, experts.down, experts.down_bias, a, gate.data(), gathered.data());

  // Summed in router rank, so that the order of experts in memory does not matter to the bits.
  std::vector<int64_t> row_of_pair(static_cast<size_t>(n_pairs));
  for (int64_t i = 0; i < n_pairs; ++i)
    row_of_pair[static_cast<size_t>(a.order[static_cast<size_t>(i)])] = i;
  context.pool.parallel_for(n_tokens, 4, [&](int64_t begin, int64_t end) {
    std::fill(out + begin * hidden, out + end * hidden, 0.0F);
    for (int64_t p = begin * k; p < end * k; ++p) {
      context.kernels.add_scaled(
          &gathered[static_cast<size_t>(row_of_pair[static_cast<size_t>(p)] * hidden)], weights[p],
          hidden, out + p / k * hidden);
    }
  });
}

}  // namespace

Routing route(const Context& context, const mx::array& scores, const RouterSpec& spec) {
  const int n_tokens = scores.shape(0);
  const auto n_experts = static_cast<int64_t>(scores.shape(1));
  const mx::Shape shape{n_tokens, static_cast<int>(spec.n_experts_per_tok)};
  auto outputs = kernel_op(context, "route", {scores}, {{shape, mx::int32}, {shape, mx::float32}},
                           [spec, n_tokens, n_experts](const Buffers& b) {
                             const int64_t k = spec.n_experts_per_tok;
                             for (int64_t t = 0; t < n_tokens; ++t) {
                               const float* row = b.input(0) + t * n_experts;
                               std::vector<float> copy(row, row + n_experts);
                               route_token(spec, copy, static_cast<int32_t*>(b.outputs[0]) + t * k,
                                           b.output(1) + t * k);
                             }
                           });
  return {outputs[0], outputs[1]};
}

mx::array moe(const Context& context, const mx::array& x, const Routing& routing,
              std::shared_ptr<const Experts> experts) {
  const auto n_tokens = static_cast<int64_t>(x.shape(0));
  const auto hidden = static_cast<int64_t>(x.shape(1));
  const auto k = static_cast<int64_t>(routing.ids.shape(1));
  return kernel_op(context, "moe", {x, routing.ids, routing.weights}, x.shape(),
                   [&context, experts = std::move(experts), n_tokens, hidden, k](const Buffers& b) {
                     run_experts(context, *experts, b.input(0), b.ids(1), b.input(2), n_tokens, k,
                                 hidden, b.output());
                   });
}

}  // namespace sluice::ops
