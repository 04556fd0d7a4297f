#pragma once

#include <optional>

#include "sluice/nn/mlp.h"

namespace sluice::nn {

/// The experts at `w`: gate and up each a stack, one above the other in one (as transformers 5 publishes them), or their
/// rows interleaved in one (gpt-oss as published).
ops::Experts load_experts(const Config& c, const MoeConfig& moe, const Weights& w);

/// A sparse feed-forward block (Shazeer et al. 2017, arXiv:1701.06538) with its norms and residual: the
/// router picks n_experts_per_tok experts for each token; optionally a shared expert sees every token, behind a
/// sigmoid gate where the files have one (Qwen2-MoE); or each of both has a share of the sum (Klear).
class SparseMlp {
 public:
  SparseMlp(const Config& c, const MoeConfig& moe, const Weights& w, BlockNorms norms,
            int64_t layer, Demands& demands);
  mx::array operator()(const mx::array& x, const Step& step) const;
  /// What the call would add to x, where no norm comes after the block.
  mx::array alone(const mx::array& x, const Step& step) const;

 private:
  /// What experts give is not all of the block's result.
  bool adds_apart() const { return shared_ || !into_.empty(); }

  std::shared_ptr<const ops::MoeSpec> spec_;
  ops::BlockEnd end_;                                 ///< of routed and shared experts together
  std::shared_ptr<const ops::GatedMlpSpec> shared_;   ///< null: none
  std::vector<ops::Projection> shared_gate_;          ///< one, or none
  std::vector<ops::Projection> into_, out_of_;        ///< a latent: one each, or none
  std::optional<ops::Norm> into_norm_, latent_norm_;  ///< of what experts get, and of their sum
  std::vector<ops::Projection>
      shares_;  ///< of routed and shared experts, before a softmax: one, or none
};

/// A dense or a sparse block, whichever the layer has.
class FeedForward {
 public:
  FeedForward(const Config& c, const LayerConfig& layer, const Weights& w, BlockNorms norms,
              int64_t i, Demands& demands);
  mx::array operator()(const mx::array& x, const Step& step) const {
    return sparse_ ? (*sparse_)(x, step) : (*dense_)(x, step);
  }
  /// What the call would add to x, where no norm comes after the block.
  mx::array alone(const mx::array& x, const Step& step) const {
    return sparse_ ? sparse_->alone(x, step) : dense_->alone(x, step);
  }

 private:
  std::optional<GatedMlp> dense_;
  std::optional<SparseMlp> sparse_;
};

}  // namespace sluice::nn
