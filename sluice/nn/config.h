#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sluice/kernels/kernels.h"
#include "sluice/ops/moe.h"

namespace sluice::nn {

/// Which rotary embedding (and which stretching of it beyond the trained context) a layer uses.
struct RopeConfig {
  enum class Kind { none, plain, linear, dynamic, llama3, yarn, longrope };
  Kind kind = Kind::plain;
  int64_t dims = 0;  ///< rotated elements of a head, even
  double theta = 10000.0;
  bool interleaved = false;  ///< pairs (2i, 2i + 1): ggml's llama files, `rope_traditional`
  double factor = 1.0;
  int64_t max_positions = 0;       ///< dynamic, longrope: max_position_embeddings
  int64_t original_positions = 0;  ///< context the unscaled model was trained for
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  ///< llama3
  double beta_fast = 32, beta_slow = 1;                  ///< yarn
  bool truncate = true;                                  ///< yarn: the ramp's ends to whole pairs
  double mscale = 1, mscale_all_dim = 0;                 ///< yarn
  double attention_factor = 0;  ///< longrope, yarn: magnitude given outright; 0: derived
  std::vector<double> divisors =
      {};  ///< per pair: the frequency is divided by it (longrope; GGUF's tables)

  friend bool operator==(const RopeConfig&, const RopeConfig&) = default;
};

/// What differs from layer to layer.
struct LayerConfig {
  int64_t sliding_window = 0;  ///< tokens a token sees, itself included; 0: all before it
  RopeConfig rope;
};

/// A decoder's hyperparameters, in the field's names. Filled by models/ from config.json or GGUF
/// metadata, checked there, const after.
struct Config {
  std::string architecture;  ///< the registry's name: "llama", "qwen3_moe"
  int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0, n_layers = 0;
  int64_t n_heads = 0, n_kv_heads = 0, head_dim = 0;
  int64_t max_position_embeddings = 0;
  float rms_norm_eps = 1e-6F;
  float norm_weight_offset = 0;  ///< 1 where files store (weight - 1): Gemma's safetensors
  bool tie_word_embeddings = false;
  kernels::Activation activation = kernels::Activation::silu;
  float activation_limit = 0;
  float embedding_scale = 1;
  float attention_scale = 0;    ///< what q . k is multiplied by
  float attention_softcap = 0;  ///< 0: none
  float logits_softcap = 0;     ///< 0: none

  int64_t n_experts = 0, moe_intermediate_size = 0, shared_expert_intermediate_size = 0;
  ops::RouterSpec router;
  std::vector<bool> layer_is_moe;  ///< [n_layers]; empty: all or none, by n_experts

  std::vector<LayerConfig> layers;  ///< [n_layers]
  kernels::KvType kv_type = kernels::KvType::f16;
};

}  // namespace sluice::nn
