#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "sluice/kernels/kernels.h"
#include "sluice/nn/kv_format.h"
#include "sluice/ops/block_sparse.h"
#include "sluice/ops/gated_activation.h"
#include "sluice/ops/router_spec.h"

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
      {};                ///< per pair: the frequency is divided by it (longrope; GGUF's tables)
  int64_t stride = 1;    ///< so many positions are rotated as the first of them
  bool inverse = false;  ///< back again

  friend bool operator==(const RopeConfig&, const RopeConfig&) = default;
};

/// Queries are multiplied by 1 + beta ln(1 + floor((position + first) / original)) (Llama 4, Ministral 3); beta 0: not.
struct PositionScale {
  float beta = 0;
  int64_t original = 1, first = 0;
};

/// What chooses the keys that a token attends, where it has more than that (ops::SelectSpec says how).
struct IndexConfig {
  int64_t n_heads = 0;  ///< 0: a token attends all keys before it
  int64_t head_dim = 0;
  int64_t k = 0, unit = 1;  ///< so many runs of `unit` positions are attended
  int64_t n_local = 0;
  bool summed = false;
  RopeConfig rope = {};
};

/// Softmax attention (Vaswani et al. 2017, arXiv:1706.03762), grouped queries.
struct AttentionConfig {
  int64_t n_heads = 0, n_kv_heads = 0, head_dim = 0;
  int64_t sliding_window = 0;  ///< tokens a token sees, itself included; 0: all before it
  RopeConfig rope;
  float scale = 0;      ///< what q . k is multiplied by
  float out_scale = 1;  ///< and the block's result
  float softcap = 0;    ///< 0: none
  int64_t chunk = 0;    ///< a token sees those of its own chunk of so many positions; 0: of all
  float clip = 0;       ///< queries, keys and values are brought into [-clip, clip]; 0: not
  /// qkv_proj has for each key head its queries, its key and its value.
  bool qkv_per_group = false;
  /// Query head h has key head h mod n_kv_heads, not h n_kv_heads / n_heads.
  bool tiled_heads = false;
  int64_t value_dim = 0;  ///< of a head's value, where it is less than head_dim; 0: the same
  float value_scale = 1;
  /// q_proj has for each head its query, then a gate: the head's result times the gate's sigmoid.
  bool output_gate = false;
  /// The files may have gate_proj: what was attended times its sigmoid, for each head or each element.
  bool has_gate = false;
  bool softplus_gate = false;    ///< of that the softplus, not the sigmoid
  bool norm_last = false;        ///< q_norm and k_norm come after the rotation
  bool unit_norms = false;       ///< q_norm and k_norm have no weights
  float norm_eps = 0;            ///< of q_norm and k_norm; 0: the decoder's
  bool result_norm = false;      ///< what was attended is normed per head, without weights
  bool value_norm = false;       ///< values are normed per head, without weights
  bool keys_are_values = false;  ///< values are what k_proj gives, before k_norm
  /// k_norm's weights multiply queries instead of keys: layers that share keys may differ in them. With norm_last.
  bool key_norm_of_layer = false;
  int64_t kv_of_layer = -1;  ///< the layer whose keys and values are attended; -1: its own
  PositionScale position;
  ops::BlockSparse sparse = {};
  IndexConfig index = {};
};

/// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): keys and values of all heads are made of one row.
struct LatentAttentionConfig {
  int64_t n_heads = 0;
  int64_t q_lora_rank = 0;   ///< 0: queries are projected at once
  int64_t kv_lora_rank = 0;  ///< of the row, without what is rotated
  int64_t nope_dim = 0, rope_dim = 0, value_dim = 0;
  float latent_eps = 1e-6F;               ///< of the norms of both low-rank rows
  float q_factor = 1, latent_factor = 1;  ///< what those norms' results are multiplied by
  RopeConfig rope;
  float scale = 0;
  PositionScale position;
  IndexConfig index = {};
};

/// Attention to the rows of a window of tokens and to compressed ones, which stand for several (DeepSeek-V4.1). A row is every
/// head's key and value.
struct CompressedAttentionConfig {
  int64_t n_heads = 0, head_dim = 0;
  int64_t q_lora_rank = 0;
  int64_t sliding_window = 0;
  int64_t n_output_groups = 0,
          o_lora_rank = 0;  ///< heads' results are projected group by group first
  RopeConfig rope;          ///< of a head's last elements
  int64_t ratio = 0;        ///< tokens of a compressed row; 0: the layer has the window alone
  bool compresses = false, chooses = false;  ///< it makes compressed rows; it chooses of them
  int64_t rows_of_layer = -1;                ///< whose it attends; -1: there are none
  int64_t keys_of_layer = -1;                ///< by whose keys it chooses
  IndexConfig index = {};
  /// The keys that later layers choose from: k runs of `unit`. This layer finds them; or it chooses from them.
  IndexConfig candidates = {};
  bool finds_candidates = false, chooses_candidates = false;
};

/// Residual streams, and how they are mixed (ops::HyperSpec). n 0: there is one.
struct HyperConfig {
  int64_t n = 0, iterations = 0;
  float eps = 0;
};

/// Gated delta net (Yang et al. 2024, arXiv:2412.06464).
struct GatedDeltaConfig {
  int64_t n_key_heads = 0, n_value_heads = 0, key_dim = 0, value_dim = 0;
  int64_t n_taps = 0;  ///< of the causal convolution over queries, keys and values
  /// Value head h has key head h mod n_key_heads, not h n_key_heads / n_value_heads: ggml's files.
  bool tiled_heads = false;
  bool by_channel =
      false;  ///< Kimi delta attention (arXiv:2510.26692): each element of a key decays by itself
  float least_log_decay = 0;  ///< 0: decays have no bound (see ops::GatedDeltaSpec)
  float beta_scale = 1;       ///< 2: eigenvalues may be negative (arXiv:2411.12537)
  kernels::Activation gate = kernels::Activation::silu;  ///< of the result
  float norm_eps = 0;                                    ///< of the result's norm; 0: the model's
};

/// Mamba-2 (Dao & Gu 2024, arXiv:2405.21060).
struct Mamba2Config {
  int64_t n_heads = 0, head_dim = 0, state_dim = 0, n_groups = 1;
  int64_t n_taps = 0;         ///< of the causal convolution over x, B and C
  int64_t n_norm_groups = 1;  ///< of the result, each normed by itself; 0: it is gated only
  float least_dt = 0, most_dt = std::numeric_limits<float>::max();  ///< of a step's length
  /// What z, x, B, C and dt are multiplied by as in_proj gives them (Falcon-H1).
  std::array<float, 5> scales{1, 1, 1, 1, 1};
  float out_scale = 1;  ///< what the block's result is multiplied by
};

/// Mamba (Gu & Dao 2023, arXiv:2312.00752). Whether dt, B and C are normed with weights, the files tell.
struct MambaConfig {
  int64_t n_channels = 0, state_dim = 0, dt_rank = 0;
  int64_t n_taps = 0;        ///< of the causal convolution
  float plain_norm_eps = 0;  ///< above 0: dt, B and C are normed without weights (Falcon Mamba)
};

/// Lightning attention (Qin et al. 2024, arXiv:2401.04658): linear attention of which each head decays by a constant.
struct LightningConfig {
  int64_t n_heads = 0, head_dim = 0;
  RopeConfig rope;
  std::vector<float> decays;  ///< [n_heads]
  int64_t n_norm_groups = 1;  ///< of the result, each normed by itself
};

/// Where a layer has no mixer.
struct NoMixer {};

/// Gated short convolution (LFM2, arXiv:2511.23404).
struct ShortConvConfig {
  int64_t n_taps = 0;
};

/// What mixes tokens in a layer.
using MixerConfig = std::variant<AttentionConfig, LatentAttentionConfig, CompressedAttentionConfig,
                                 GatedDeltaConfig, Mamba2Config, MambaConfig, LightningConfig,
                                 ShortConvConfig, NoMixer>;

/// A feed-forward block, or each of a layer's experts. intermediate_size 0: the layer has none.
struct MlpConfig {
  int64_t intermediate_size = 0;
  kernels::Activation activation = kernels::Activation::silu;
  float activation_limit = 0;
  float clamp = 0;  ///< as ops::GatedActivation's, as are these
  float bound = 0;
  float situ = 0, situ_linear = 0;
  /// Gates count from so many standard deviations above their mean on (Gemma 3n).
  std::optional<float> cutoff = std::nullopt;
  std::optional<ops::Xielu> xielu = std::nullopt;
  bool is_gated = true;  ///< false: down(act(up(x)))
  float gate_scale = 1;  ///< of what the gate's projection gives, in a block without biases
  float out_scale = 1;   ///< of the block's result
};

/// A sparse feed-forward block. Whether the shared expert has a gate, the files tell.
struct MoeConfig {
  int64_t n_experts = 0;
  MlpConfig expert;
  int64_t shared_intermediate_size = 0;  ///< 0: no shared expert
  int64_t latent_size = 0;  ///< of what experts get and give, projected from and to x; 0: x itself
  float shared_clamp = 0;   ///< of the shared expert, as MlpConfig's
  ops::RouterSpec router;
  bool weighs_input = false;  ///< as ops::Experts'
  float router_scale = 1;     ///< of the router's scores, before they become shares
};

using FeedForwardConfig = std::variant<MlpConfig, MoeConfig>;

struct LayerConfig {
  MixerConfig mixer;
  FeedForwardConfig feed_forward;
  std::optional<Mamba2Config> beside =
      std::nullopt;  ///< another mixer, on the same norm (Falcon-H1)

  /// Null when it has another mixer.
  AttentionConfig* attention() { return std::get_if<AttentionConfig>(&mixer); }
  const AttentionConfig* attention() const { return std::get_if<AttentionConfig>(&mixer); }
  MoeConfig* moe() { return std::get_if<MoeConfig>(&feed_forward); }
  const MoeConfig* moe() const { return std::get_if<MoeConfig>(&feed_forward); }
  MlpConfig& mlp() { return moe() ? moe()->expert : std::get<MlpConfig>(feed_forward); }
  const MlpConfig& mlp() const { return moe() ? moe()->expert : std::get<MlpConfig>(feed_forward); }
};

/// A decoder's hyperparameters, in the field's names. Filled by models/ from config.json or GGUF
/// metadata, checked there, const after.
struct Config {
  std::string architecture;  ///< the registry's name: "llama", "qwen3_moe"
  int64_t vocab_size = 0, hidden_size = 0, n_layers = 0;
  int64_t max_position_embeddings = 0;
  float rms_norm_eps = 1e-6F;
  bool centered_norms = false;   ///< layer norms, not root-mean-square ones
  bool unit_norms = false;       ///< norms without weights
  float norm_weight_offset = 0;  ///< 1 where files store (weight - 1): Gemma's safetensors
  float block_norm_offset = 0;   ///< the same of the norms around blocks alone (Muse)
  float post_norm_eps = 0;       ///< of the norms after blocks; 0: rms_norm_eps
  bool tie_word_embeddings = false;
  float embedding_scale = 1;
  /// Vectors of n-grams are added to a token's (LongCat): for each n from 2 to n_gram so many tables, each larger by two rows than
  /// the last one; the first has ngram_rows.
  int64_t n_gram = 0, n_ngram_tables = 0, ngram_rows = 0;
  bool embedding_norm = false;    ///< embedded tokens are normed, without weights
  int64_t learned_positions = 0;  ///< how many have a vector that is added to the token's; 0: none
  int64_t rwkv_head_dim = 0;      ///< where the files' tensors do not tell (GGUF); 0: they do
  float residual_scale = 1;       ///< of what a block adds to the residual
  int64_t residual_block =
      0;  ///< so many layers' sum is a residual that later ones attend (Kimi K3); 0: not
  HyperConfig hyper = {};
  float logits_scale = 1;
  float logits_softcap = 0;  ///< 0: none

  std::vector<LayerConfig> layers;  ///< [n_layers * n_loops]
  KvFormat kv;

  /// Tokens whose logits are -infinity; ids beyond the vocabulary count for nothing.
  std::vector<int32_t> never_chosen = {};
  bool normed_head = false;      ///< the head's rows are divided by their lengths
  bool norm_every_loop = false;  ///< the final norm comes after each loop
  /// How often the layers run, one after the other; each time they have keys, values and states of their own.
  int32_t n_loops = 1;

  /// The first layer that has attention; null: none has.
  const AttentionConfig* attention() const {
    for (const LayerConfig& layer : layers) {
      if (layer.attention() != nullptr) return layer.attention();
    }
    return nullptr;
  }
  /// The first sparse layer's block; null: none is sparse.
  const MoeConfig* moe() const {
    for (const LayerConfig& layer : layers) {
      if (layer.moe() != nullptr) return layer.moe();
    }
    return nullptr;
  }
  int64_t n_experts() const { return moe() == nullptr ? 0 : moe()->n_experts; }
  int64_t n_experts_per_tok() const {
    return moe() == nullptr ? 0 : moe()->router.n_experts_per_tok;
  }
};

}  // namespace sluice::nn
