#pragma once

#include "sluice/nn/demands.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/rope.h"

namespace sluice::nn {

/// Self-attention with its norms and residual: x + post(o_proj(attend(q, k, v of pre(x)))).
/// What the files have decides: q, k, v apart or fused (qkv_proj), biases, q_norm and k_norm (over each
/// head when [head_dim] long, over the whole projection when [n_heads * head_dim]), sinks. Window, RoPE,
/// scale, soft cap and gate come from the config.
class Attention {
 public:
  /// w: "...self_attn".
  Attention(const Config& c, const AttentionConfig& a, const Weights& w, BlockNorms norms,
            Demands& demands);

  /// x: [T, hidden_size]; returns the same shape. Appends this step's keys and values to the KV blocks.
  mx::array operator()(const mx::array& x, const Step& step) const;

 private:
  struct Norm {
    ops::Vector whole;     // over n * head_dim
    ops::Vector per_head;  // over head_dim
  };
  static Norm load_norm(const Weights& w, const char* name, int64_t n_heads, int64_t head_dim);
  mx::array norm_whole(const mx::array& x, const Norm& norm, const Step& step) const;

  BlockNorms norms_;
  AttentionConfig config_;
  std::vector<ops::Projection> qkv_;  // q (with its gate), k, v
  ops::Projection o_;
  Norm q_norm_, k_norm_;
  Rope rope_;
  ops::AttentionSpec spec_;
  size_t slot_;  // of the KV layout
  float norm_offset_, norm_eps_;
};

}  // namespace sluice::nn
