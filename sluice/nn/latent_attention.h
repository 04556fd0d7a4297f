#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "sluice/nn/demands.h"
#include "sluice/nn/indexer.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/rope.h"
#include "sluice/ops/per_head.h"

namespace sluice::nn {

/// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434) with its norms and residual, absorbed: queries are brought
/// into the latent space, where one row [rotated | latent] of a token is the key and the value of every head; what is
/// attended is brought out of it per head. The same for one token and for many, so that no chunk changes a bit.
/// What the files have decides: kv_b_proj (as published), or embed_q and unembed_out (mlx-lm, GGUF); g_proj, whose sigmoid gates
/// what was attended, head by head or element by element.
class LatentAttention {
 public:
  /// w: "...self_attn".
  LatentAttention(const Config& c, const LatentAttentionConfig& a, const Weights& w,
                  BlockNorms norms, Demands& demands);

  /// x: [T, hidden_size]; returns the same shape. Appends this step's rows to the KV blocks.
  mx::array operator()(const mx::array& x, const Step& step) const { return (*this)(x, x, step); }
  /// The same with another residual.
  mx::array operator()(const mx::array& x, const mx::array& residual, const Step& step) const;

 private:
  mx::array gate(const mx::array& attended, const mx::array& by, const Step& step) const;

  BlockNorms norms_;
  LatentAttentionConfig config_;
  std::vector<ops::Projection>
      in_;  // q or its low-rank row; kv_a; the gate; what the indexer takes
  std::vector<ops::Projection> q_b_;  // one, or none; then the indexer's
  std::optional<Indexer> indexer_;
  bool gated_ = false;
  std::optional<ops::Norm> q_norm_;
  ops::Norm kv_norm_;
  std::shared_ptr<const ops::PerHead> into_, out_of_;
  ops::Projection o_;
  Rope rope_;
  ops::AttentionSpec spec_;
  size_t slot_;
};

}  // namespace sluice::nn
