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
int64_t query_floats(const nn::Config& c) { return c.n_heads * c.head_dim; }
int64_t key_floats(const nn::Config& c) { return c.n_kv_heads * c.head_dim; }

/// A row of what goes into a down projection.
int64_t activated_row(int64_t cols, const StepSize& step) {
  return int8_row(cols) + (step.all_int8 ? 0 : kFloat * cols);
}

/// The most that one primitive takes.
int64_t primitive_bytes(const nn::Config& c, const StepSize& step) {
  const int64_t hidden = kFloat * c.hidden_size, k = c.router.n_experts_per_tok;
  const int64_t normed = hidden + int8_row(c.hidden_size);
  const int64_t attention = int8_row(query_floats(c)) + hidden;
  const int64_t dense =
      activated_row(std::max(c.intermediate_size, c.shared_expert_intermediate_size), step) +
      hidden;
  int64_t sparse = 0, guesses = 0;
  if (c.n_experts > 0) {
    const int64_t pair =
        64 + hidden + (step.all_int8 ? 0 : hidden) + activated_row(c.moe_intermediate_size, step);
    sparse = kFloat * c.n_experts + k * pair + hidden;
    guesses = std::min(step.n_tokens, ops::kShortStep) *
              (ops::kGuesses * (normed + kFloat * c.n_experts + 8 * k) + hidden);
  }
  return guesses + step.n_tokens * (normed + std::max({attention, dense, sparse}));
}

int64_t thread_bytes(const nn::Config& c, const StepSize& step) {
  const int64_t heads_per_kv = c.n_heads / c.n_kv_heads;
  const int64_t part = kFloat * (kernels::kPartHeader + (c.head_dim + 15) / 16 * 16);
  const int64_t widest = std::max({c.hidden_size, query_floats(c), c.intermediate_size,
                                   c.shared_expert_intermediate_size, c.moe_intermediate_size});
  const int64_t blocks = step.context / kernels::kKvBlockTokens + 1;
  return kStack + 2 * kFloat * ops::most_results_at_a_time(step.n_tokens) +
         kernels::Int8Row{widest}.scratch_bytes() +
         3 * std::max(kTileQueries, heads_per_kv) * part + 2 * blocks * heads_per_kv * part;
}

}  // namespace

/// A layer's rows take over those of the layer before.
Bytes array_bytes(const nn::Config& c, const StepSize& step) {
  const int64_t normed = step.norms_whole ? query_floats(c) + key_floats(c) : 0;
  const int64_t row = kFloat * (c.hidden_size + query_floats(c) + 2 * key_floats(c) + normed);
  const int64_t rows_ahead =
      std::min(step.n_tokens, ops::kShortStep) * std::min(c.n_layers, kLayersAhead);
  const int64_t angles = kFloat * 2 * c.head_dim * step.n_tokens;
  const int64_t waiting = kFloat * (c.hidden_size + 2 * c.head_dim) * step.n_waiting;
  const Bytes layer{
      static_cast<uint64_t>(angles + waiting + row * std::max(step.n_tokens, rows_ahead))};
  const Bytes input{static_cast<uint64_t>(kFloat * c.hidden_size * step.n_tokens)};
  return std::max({layer, input + step.embedding, input + step.logits});
}

Bytes activation_bytes(const nn::Config& config, const StepSize& step) {
  const int64_t attention_plan = 128 * step.n_tokens * config.n_kv_heads;
  const int64_t bytes =
      primitive_bytes(config, step) + attention_plan + step.n_threads * thread_bytes(config, step);
  return array_bytes(config, step) + Bytes{static_cast<uint64_t>(bytes)};
}

}  // namespace sluice::engine
