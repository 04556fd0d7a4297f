#pragma once

#include <cstdint>
#include <span>

#include "sluice/ops/linear.h"
#include "sluice/ops/matmul.h"
#include "sluice/ops/router_spec.h"

namespace sluice::ops {

/// In place of an expert's id: none.
inline constexpr int32_t kNoExpert = -1;

/// One token's choice. scores: [n_experts], the router's output, overwritten. ids, weights:
/// [n_experts_per_tok], best first; ties go to the lower id. What least_mass leaves out is
/// kNoExpert, its weight shared among the others.
void route(const RouterSpec& spec, std::span<float> scores, int32_t* ids, float* weights);

/// Leaves out ids of one token for which `out(rank)` holds, its best one never; the others take
/// over their weight.
template <typename Out>
void leave_out(int32_t* ids, float* weights, int64_t k, const Out& out) {
  float all = 0, kept = 0;
  for (int64_t r = 0; r < k; ++r) {
    all += weights[r];
    if (r > 0 && ids[r] != kNoExpert && out(r)) ids[r] = kNoExpert;
    if (ids[r] != kNoExpert) kept += weights[r];
  }
  for (int64_t r = 0; r < k && kept < all; ++r) {
    weights[r] = ids[r] == kNoExpert ? 0 : weights[r] * (all / kept);
  }
}

/// What a router chooses. ids, weights: [n_tokens, n_experts_per_tok]; identities: [n_tokens], the weight of all choices that
/// are no expert, whose ids are kNoExpert; null where the router has none such.
struct Choice {
  int32_t* ids;
  float* weights;
  float* identities;
};

/// route() for every row. `router`: the projection's matrix in memory, [n_experts, hidden_size].
/// rows: [n_tokens, hidden_size], normed. The result lives as long as the frame.
Choice choose(const Context& context, Scratch::Frame& frame, const RouterSpec& spec,
              const Projection& projection, const kernels::Matrix& router, const Rows& rows);

}  // namespace sluice::ops
