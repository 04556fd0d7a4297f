#pragma once

#include <memory>
#include <span>
#include <vector>

#include "sluice/ops/gated_part.h"
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
  /// Lossy below 1: a token's experts end where their weights reach this share of all its chosen ones'.
  double least_mass = 1;
};

/// In place of an expert's id: none.
inline constexpr int32_t kNoExpert = -1;

/// One token's choice. scores: [n_experts], the router's output, overwritten. ids, weights:
/// [n_experts_per_tok], best first; ties go to the lower id. What least_mass leaves out is kNoExpert, its weight
/// shared among the others.
void route(const RouterSpec& spec, std::span<float> scores, int32_t* ids, float* weights);

/// The experts of one layer: gated MLPs, each projection a matrix per expert.
struct Experts {
  std::vector<residency::Weight> gate, up, down;
  std::vector<Vector> gate_bias, up_bias, down_bias;  ///< empty, or one per expert
  GatedActivation activation;
};

/// A sparse feed-forward block: post(sum over ranks r, ascending, of weight r * expert r (pre(x))), the norms optional.
struct MoeSpec {
  int layer = 0;
  std::optional<Norm> pre, post;
  Projection router;
  RouterSpec routing;
  Experts experts;
};

/// The sparse blocks of one step in the order in which they run, as its graph is built.
using MoeLayers = std::vector<std::shared_ptr<const MoeSpec>>;

/// A block of a step of few tokens says so often what the two after it will probably need: their routers applied to
/// its input, and the next one's to a part of its output and to all of it.
inline constexpr int64_t kGuesses = 4;

/// The block's output, plus x when `residual`. x: float32 [T, hidden_size]. Tokens are sorted by expert, so that
/// each expert's weights are read once. Is appended to `layers`, where it finds the blocks after it.
/// `again`: more tokens follow in this layer, before the next one runs.
mx::array moe(const Context& context, const mx::array& x, std::shared_ptr<const MoeSpec> spec,
              bool residual, const std::shared_ptr<MoeLayers>& layers, bool again);

}  // namespace sluice::ops
