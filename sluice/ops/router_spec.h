#pragma once

#include <cstdint>

#include "sluice/ops/vector.h"

namespace sluice::ops {

/// How a router's scores become expert ids and weights.
struct RouterSpec {
  enum class Scoring {
    softmax_then_top_k,        ///< qwen2_moe, qwen3_moe, olmoe
    top_k_then_softmax,        ///< mixtral, gpt_oss
    sigmoid_then_top_k,        ///< DeepSeek-V3 (arXiv:2412.19437) and those after it
    root_softplus_then_top_k,  ///< the square root of softplus (Laguna)
    sparse_mixer,              ///< Phi-3.5-MoE: SparseMixer (Liu et al. 2023, arXiv:2310.00811)
  };
  Scoring scoring = Scoring::softmax_then_top_k;
  int64_t n_experts_per_tok = 0;
  float cap = 0;             ///< above 0: scores are cap tanh(score / cap) first
  bool renormalize = false;  ///< of what is scored first: divide the chosen weights by their sum
  float least_sum = 0;       ///< what is added to that sum
  float weight_scale = 1;    ///< weights are multiplied with it at last
  /// Added to scores while experts are chosen, not to their weights: [n_experts], or null.
  Vector choice_bias = nullptr;
  /// What an expert's weight is multiplied by at last: [n_experts], or null.
  Vector expert_scale = nullptr;
  /// Experts lie in groups of equal size, of which those with the best sums of two scores take part.
  int64_t n_groups = 1, n_groups_used = 1;
  /// While experts are chosen, the scores of the other groups: minus infinity, or 0, above which a biased one may lie.
  float other_groups = 0;
  int64_t n_identities =
      0;  ///< the last so many choices give back what the block gets (LongCat, arXiv:2509.01322)
  bool best_of_group =
      false;         ///< a group counts by its best score, not by the sum of two (DeepSeek-V2)
  float jitter = 0;  ///< sparse_mixer: of the scores, how much lesser ones still count
  /// Lossy below 1: a token's experts end where their weights reach this share of all its chosen
  /// ones'.
  double least_mass = 1;
};

}  // namespace sluice::ops
