#include "sluice/engine/activations.h"

#include <algorithm>

#include "sluice/kernels/int8_row.h"
#include "sluice/kernels/kernels.h"
#include "sluice/ops/context.h"
#include "sluice/ops/look_ahead.h"
#include "sluice/ops/matmul.h"

namespace sluice::engine {
namespace {

constexpr int64_t kFloat = 4;
/// Of a step that is evaluated whole, the layers whose arrays are allocated before the first is computed: MLX goes
/// about 50 primitives ahead.
constexpr int64_t kLayersAhead = 16;
/// Queries that a thread of attention takes together (ops/attention_plan.cpp).
constexpr int64_t kTileQueries = 32;
/// Of a thread: what kernels and calls put on it.
constexpr int64_t kStack = 64 << 10;

int64_t int8_row(int64_t cols) { return kernels::Int8Row{cols}.bytes(); }
/// A row of what goes into a down projection.
int64_t activated_row(int64_t cols, const StepSize& step) {
  return int8_row(cols) + (step.all_int8 ? 0 : kFloat * cols);
}

/// The most that one primitive takes.
int64_t primitive_bytes(const nn::StepDemands& d, const StepSize& step) {
  const int64_t hidden = kFloat * d.hidden_size, k = d.n_experts_per_tok;
  const int64_t normed = hidden + int8_row(d.hidden_size);
  const int64_t mixed = int8_row(d.mixed) + hidden;
  const int64_t dense = activated_row(d.inner, step) + hidden;
  int64_t sparse = 0, guesses = 0;
  if (d.n_experts > 0) {
    const int64_t pair =
        64 + hidden + (step.all_int8 ? 0 : hidden) + activated_row(d.expert_inner, step);
    sparse = kFloat * d.n_experts + k * pair + hidden;
    guesses = std::min(step.n_tokens, ops::kShortStep) *
              (ops::kGuesses * (normed + kFloat * d.n_experts + 8 * k) + hidden);
  }
  return guesses + step.n_tokens * (normed + std::max({mixed, dense, sparse}));
}

int64_t thread_bytes(const nn::StepDemands& d, const StepSize& step) {
  const int64_t part = kFloat * (kernels::kPartHeader + (d.head_dim + 15) / 16 * 16);
  const int64_t widest = std::max({d.hidden_size, d.mixed, d.inner, d.expert_inner});
  const int64_t blocks = step.attended / kernels::kKvBlockTokens + 1;
  return kStack + 2 * kFloat * ops::most_results_at_a_time(step.n_tokens) +
         kernels::Int8Row{widest}.scratch_bytes() + static_cast<int64_t>(step.strip.count) +
         3 * std::max(kTileQueries, d.heads_per_kv) * part + 2 * blocks * d.heads_per_kv * part;
}

/// Attention of a prompt's last queries: these, what each of them and of the keys got, and the keys in order.
int64_t pruning_bytes(const nn::StepDemands& d, const StepSize& step) {
  constexpr int64_t kOfKey = 4 * kFloat, kQueries = ops::kObserved, kOfQuery = 2;
  return d.n_kv_heads * (kQueries * d.heads_per_kv * kFloat * (d.head_dim + kOfQuery) +
                         kOfKey * step.attended) +
         step.n_threads * kFloat * kQueries * kernels::kKvBlockTokens;
}

}  // namespace

/// A layer's rows take over those of the layer before.
Bytes array_bytes(const nn::StepDemands& d, const StepSize& step) {
  const int64_t row = kFloat * (d.hidden_size + d.row);
  const int64_t rows_ahead =
      std::min(step.n_tokens, ops::kShortStep) * std::min(d.n_layers, kLayersAhead);
  const int64_t angles = kFloat * 2 * d.head_dim * step.n_tokens;
  const int64_t waiting = kFloat * (d.hidden_size + 2 * d.head_dim) * step.n_waiting;
  const Bytes layer{
      static_cast<uint64_t>(angles + waiting + row * std::max(step.n_tokens, rows_ahead))};
  const Bytes input{static_cast<uint64_t>(kFloat * d.hidden_size * step.n_tokens)};
  return std::max({layer, input + step.embedding, input + step.logits});
}

Bytes activation_bytes(const nn::StepDemands& demands, const StepSize& step) {
  const int64_t attention_plan = 128 * step.n_tokens * demands.n_kv_heads;
  const int64_t kept = step.spills
                           ? kFloat * step.n_tokens * demands.n_kv_heads * demands.heads_per_kv *
                                 (kernels::kPartHeader + (demands.head_dim + 15) / 16 * 16)
                           : 0;
  const int64_t bytes = primitive_bytes(demands, step) + attention_plan + kept +
                        (step.prunes ? pruning_bytes(demands, step) : 0) +
                        step.n_threads * thread_bytes(demands, step);
  return array_bytes(demands, step) + Bytes{static_cast<uint64_t>(bytes)};
}

}  // namespace sluice::engine
