#pragma once

#include <vector>

#include "sluice/ops/linear.h"

namespace sluice::ops {

/// How a router's scores become expert ids and weights.
struct RouterSpec {
  enum class Scoring {
    softmax_then_top_k,  ///< qwen2_moe, qwen3_moe, olmoe
    top_k_then_softmax,  ///< mixtral, gpt_oss
  };
  Scoring scoring = Scoring::softmax_then_top_k;
  int64_t n_experts_per_tok = 0;
  bool renormalize = false;  ///< softmax_then_top_k: divide the chosen weights by their sum
};

struct Routing {
  mx::array ids;      ///< int32 [T, n_experts_per_tok], best first; ties go to the lower id
  mx::array weights;  ///< float32 [T, n_experts_per_tok]
};

/// scores: float32 [T, n_experts], the router's output.
Routing route(const Context& context, const mx::array& scores, const RouterSpec& spec);

/// The experts of one layer: gated MLPs, each projection a matrix per expert.
struct Experts {
  std::vector<residency::Weight> gate, up, down;
  std::vector<Vector> gate_bias, up_bias, down_bias;  ///< empty, or one per expert
  kernels::Activation activation = kernels::Activation::silu;
  float limit = 0.0F;  ///< swiglu_clipped's bound
};

/// y[t] = sum over ranks r, ascending, of weights[t, r] * expert ids[t, r] (x[t]).
/// x: float32 [T, hidden_size]. Tokens are sorted by expert, so each expert's weights are read once.
mx::array moe(const Context& context, const mx::array& x, const Routing& routing,
              std::shared_ptr<const Experts> experts);

}  // namespace sluice::ops
