#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "sluice/nn/kv_cache.h"

namespace sluice::nn {

/// What a step of a model needs beside weights, keys, values and states: of each the largest of its parts. In floats.
struct StepDemands {
  int64_t hidden_size = 0;
  int64_t n_layers = 0;
  int64_t row = 0;    ///< of a token, the arrays between the primitives of a part
  int64_t mixed = 0;  ///< of a token, what is projected back onto the residual
  int64_t inner = 0;  ///< of a token, what is inside a dense feed-forward block
  int64_t n_experts = 0, n_experts_per_tok = 0, expert_inner = 0;
  int64_t n_kv_heads = 0, heads_per_kv = 0,
          head_dim = 0;  ///< of attention, which shares out its work
};

/// Where a layer's compressed rows and its index keys lie in `kept`, if it has any.
struct CompressedSlots {
  std::optional<size_t> rows, keys;
};

/// What a model's parts ask for beside weights. They say it as they are made.
class Demands {
 public:
  Demands(const KvFormat& format, int64_t hidden_size, int64_t n_layers) : kept(format) {
    step.hidden_size = hidden_size;
    step.n_layers = n_layers;
  }

  /// A part has arrays of so many floats for a token, and projects `mixed` of them onto the residual.
  void add_rows(int64_t floats, int64_t mixed) {
    step.row = std::max(step.row, floats);
    step.mixed = std::max(step.mixed, mixed);
  }
  void add_attention(int64_t n_kv_heads, int64_t heads_per_kv, int64_t head_dim) {
    step.n_kv_heads = std::max(step.n_kv_heads, n_kv_heads);
    step.heads_per_kv = std::max(step.heads_per_kv, heads_per_kv);
    step.head_dim = std::max(step.head_dim, head_dim);
  }
  void add_mlp(int64_t intermediate_size) { step.inner = std::max(step.inner, intermediate_size); }
  void add_experts(int64_t n, int64_t per_tok, int64_t intermediate_size) {
    step.n_experts = std::max(step.n_experts, n);
    step.n_experts_per_tok = std::max(step.n_experts_per_tok, per_tok);
    step.expert_inner = std::max(step.expert_inner, intermediate_size);
  }

  KvLayout kept;                        ///< of each sequence
  std::vector<size_t> attention_slots;  ///< of `kept`, by attention in the order of layers
  std::vector<CompressedSlots> compressed_slots;  ///< by layer
  StepDemands step;
};

}  // namespace sluice::nn
