#pragma once

#include <optional>

#include "sluice/nn/mlp.h"

namespace sluice::nn {

/// A sparse feed-forward block (Shazeer et al. 2017, arXiv:1701.06538) with its norms and residual: the
/// router picks n_experts_per_tok experts for each token; optionally a shared expert with a sigmoid gate
/// sees every token (Qwen2-MoE).
class SparseMlp {
 public:
  SparseMlp(const Config& c, const Weights& w, BlockNorms norms);
  mx::array operator()(const mx::array& x, const Step& step) const;

 private:
  BlockNorms norms_;
  Linear router_;
  ops::RouterSpec spec_;
  std::shared_ptr<const ops::Experts> experts_;
  std::optional<GatedUnit> shared_;
  std::optional<Linear> shared_gate_;
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
