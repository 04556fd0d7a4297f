#pragma once

#include <optional>
#include <vector>

#include "sluice/nn/demands.h"
#include "sluice/nn/indexer.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/rope.h"
#include "sluice/ops/recurrent.h"

namespace sluice::nn {

/// Self-attention with its norms and residual: x + post(o_proj(attend(q, k, v of pre(x)))).
/// What the files have decides: q, k, v apart or fused (qkv_proj), biases, q_norm and k_norm (over each
/// head when [head_dim] long or [n_heads, head_dim], over the whole projection when [n_heads * head_dim]), sinks, a gate
/// of each element or of each head (gate_proj). Window, RoPE, scale, soft cap and a gate within q_proj come from the config.
class Attention {
 public:
  /// w: "...self_attn".
  Attention(const Config& c, const AttentionConfig& a, const Weights& w, BlockNorms norms,
            Demands& demands);

  /// x: [T, hidden_size]; returns the same shape. Appends this step's keys and values to the KV blocks.
  mx::array operator()(const mx::array& x, const Step& step) const;
  /// What the call would add to x, where no norm comes after the block.
  mx::array alone(const mx::array& x, const Step& step) const {
    return ops::project(step.context, attend(x, step), std::nullopt, {o_})[0];
  }

 private:
  struct Inputs {
    mx::array q, k, v;
    std::optional<mx::array> gate;
    std::optional<ops::Selection> selection;
  };
  /// What is done to heads before they are stored and attended, where it is more than ops::attention does.
  struct Apart {
    ops::HeadTransform query, key;
    std::optional<ops::Norm> query_norm;  ///< after the transform, of weights of each head's own
    float key_step = 0, value_step = 0;   ///< above 0: rounded to 8 bits of it (AFM 7)
  };
  /// A convolution over keys and one over values, before the rotation (Baichuan-M1).
  struct Convolved {
    std::shared_ptr<const ops::CausalConvSpec> keys, values;
    size_t key_slot = 0, value_slot = 0;
  };
  void load_apart(const Weights& w);
  void load_convolutions(const Weights& w, Demands& demands);
  void convolve(Inputs& in, const Step& step) const;
  void transform(Inputs& in, const std::optional<mx::array>& angles, const Step& step) const;
  Inputs project(const mx::array& x, const Step& step) const;
  /// What o_proj gets.
  mx::array attend(const mx::array& x, const Step& step) const;
  mx::array finish(mx::array attended, const std::optional<mx::array>& gate,
                   const Step& step) const;

  BlockNorms norms_;
  AttentionConfig config_;
  std::vector<ops::Projection>
      in_;  // q (with a gate of each head), k, v; what the config has of it, then the gate, then the indexer's
  bool gated_ = false;  // there is a gate
  std::optional<Indexer> indexer_;
  ops::Projection o_;
  std::optional<ops::Norm> q_norm_,
      k_norm_;                         // of projections; those of single heads are the spec's
  std::optional<ops::Norm> sub_norm_;  // of what was attended
  std::optional<Apart> apart_;
  std::optional<Convolved> convolved_;
  Rope rope_;
  ops::AttentionSpec spec_;
  size_t slot_;  // of the KV layout
};

}  // namespace sluice::nn
