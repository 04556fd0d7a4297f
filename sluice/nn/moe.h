#pragma once

#include <optional>

#include "sluice/nn/mlp.h"

namespace sluice::nn {

/// A sparse feed-forward block (Shazeer et al. 2017, arXiv:1701.06538) with its norms and residual: the
/// router picks n_experts_per_tok experts for each token; optionally a shared expert with a sigmoid gate
/// sees every token (Qwen2-MoE).
class SparseMlp {
 public:
  SparseMlp(const Config& c, const Weights& w, BlockNorms norms, int64_t layer);
  mx::array operator()(const mx::array& x, const Step& step) const;

 private:
  std::shared_ptr<const ops::MoeSpec> spec_;
  std::shared_ptr<const ops::GatedMlpSpec> shared_;  ///< null: none
  std::vector<ops::Projection> shared_gate_;         ///< one, or none
};

/// A dense or a sparse block, whichever the layer has.
class FeedForward {
 public:
  FeedForward(const Config& c, const Weights& w, BlockNorms norms, int64_t layer);
  mx::array operator()(const mx::array& x, const Step& step) const {
    return sparse_ ? (*sparse_)(x, step) : (*dense_)(x, step);
  }

 private:
  std::optional<GatedMlp> dense_;
  std::optional<SparseMlp> sparse_;
};

}  // namespace sluice::nn
