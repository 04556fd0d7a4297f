#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "sluice/models/family.h"
#include "sluice/models/source.h"
#include "sluice/nn/config.h"
#include "sluice/nn/weights.h"

// Readers that families share. They know keys and no family; what differs is told them.
namespace sluice::models {

/// What a family takes where config.json says nothing: transformers' defaults of that family. (A
/// GGUF says all of it, or leaves it to the same rules as here.)
struct Defaults {
  /// 0: required
  int64_t vocab_size = 0;
  int64_t n_heads = 0;
  /// 0: as many as heads
  int64_t n_kv_heads = 0;
  /// 0: hidden_size / n_heads
  int64_t head_dim = 0;
  double rms_norm_eps = 1e-6;
  std::string_view norm_eps_key = "rms_norm_eps";
  int64_t intermediate_size = 0;
  std::string_view activation = "silu";
  /// A name of hidden_act that only this family has: it sets the function itself.
  std::string_view own_activation = {};
  bool gated_mlp = true;        ///< false: down(act(up(x)))
  bool centered_norms = false;  ///< layer norms, not root-mean-square ones
  bool renormalize = false;     ///< a router's chosen weights
  double rope_theta = 1e4;
  double rotary_share = 1;   ///< of a head's elements
  bool interleaved = false;  ///< pairs (2i, 2i + 1) are rotated, whatever rope_traditional says
  /// Where sliding_window is absent. (Where it is null there is none.)
  int64_t sliding_window = 0;
  /// Which layers have the window, where neither layer_types nor a pattern says it. Null: none.
  std::function<bool(int64_t layer)> slides = nullptr;
  int64_t n_layers = 0;  ///< 0: num_hidden_layers
  /// How many layers before the first sparse one are dense.
  std::string_view first_dense_key = "first_k_dense_replace";
  /// Which layers are sparse. Null: as the file's steps, lists and first dense layers say.
  std::function<bool(int64_t layer)> is_sparse = nullptr;
  /// Widths and heads may differ from layer to layer: where they do the family reads them itself.
  bool any_widths = false;
  /// A head's values may be narrower than its keys: the family reads how wide they are.
  bool narrow_values = false;
  /// The family says of each layer what it is, whatever layer_types says.
  bool any_layers = false;
  /// The family reads its experts itself.
  bool experts_elsewhere = false;
  /// No layer attends: there are no heads to read.
  bool headless = false;
  /// Heads are those of latent attention, which the family reads itself.
  bool latent = false;
  /// A name in layer_types, beside full and sliding attention, of layers that the family sets itself.
  std::string_view other_layers = {};
};

/// What a decoder of attention and gated feed-forward blocks needs, sparse ones included; one RoPE
/// for all layers. Every number is checked: sizes in range, heads divisible, lists as long as there
/// are layers. weights: for sizes and choices that only the tensors know (vocabulary of a GGUF,
/// tied embeddings, RoPE tables). Throws Error(bad_model) naming the file and the key,
/// Error(unsupported).
nn::Config read_decoder(const Source& source, nn::WeightTable& weights,
                        const Defaults& defaults = {});

/// Elements of a head, of latent rows too, that the kernels take.
inline constexpr int64_t kMaxHeadDim = 640;
/// Throws Error(bad_model) where a layer's experts, or all layers' together, are more than may be.
void check_experts(const Source& source, const nn::MoeConfig& moe, int64_t n_layers);
/// Throws Error(bad_model) unless each of a recurrent layer's sizes is from 1 to 65536.
void check_state_sizes(const Source& source, std::initializer_list<int64_t> sizes);
/// What config.json calls the sizes of Mamba-2 layers.
struct Mamba2Keys {
  std::string_view n_heads, head_dim, state_dim, n_groups, n_taps;
};
/// "mamba_n_heads" and its like.
inline constexpr Mamba2Keys kBambaKeys{"mamba_n_heads", "mamba_d_head", "mamba_d_state",
                                       "mamba_n_groups", "mamba_d_conv"};
/// Sizes and limits of Mamba-2 layers, checked. The result is normed in the groups of B and C, as published (not in mlx-lm).
nn::Mamba2Config read_mamba2(const Source& source, const Mamba2Keys& keys);

/// What config.json calls the sizes of Mamba layers.
struct MambaKeys {
  std::string_view state_dim, dt_rank, n_taps;
};
/// Sizes of Mamba layers of n_channels, checked. dt_rank "auto" is hidden_size / 16, rounded up.
nn::MambaConfig read_mamba(const Source& source, const nn::Config& c, const MambaKeys& keys,
                           int64_t n_channels);

/// Of a GGUF: the width of each head of a recurrent layer.
int64_t state_head_dim(const Source& source);

/// Its tensors in a GGUF's layers.
inline constexpr TensorName kLatentTensors[] = {
    {"attn_q_a", "self_attn.q_a_proj"},
    {"attn_q_a_norm", "self_attn.q_a_layernorm"},
    {"attn_q_b", "self_attn.q_b_proj"},
    {"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"},
    {"attn_kv_a_norm", "self_attn.kv_a_layernorm"},
    {"attn_kv_b", "self_attn.kv_b_proj"},
    {"attn_k_b", "self_attn.embed_q"},
    {"attn_v_b", "self_attn.unembed_out"},
    {"indexer.attn_q_b", "self_attn.indexer.wq_b"},
    {"indexer.attn_k", "self_attn.indexer.wk"},
    {"indexer.k_norm", "self_attn.indexer.k_norm"},
    {"indexer.proj", "self_attn.indexer.weights_proj"},
    {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}};
/// DeepSeek's latent attention, in all layers of a decoder that read_decoder() has read.
void read_latent_attention(nn::Config& c, const Source& source, nn::WeightTable& weights,
                           const Defaults& defaults);

/// DeepSeek-V4.1's attention, in all layers of a decoder that read_decoder() has read.
void read_compressed_attention(nn::Config& c, const Source& source);

/// RoPE of one kind of layers. layer_type: whose numbers, where rope_parameters has them by layer
/// type.
nn::RopeConfig read_rope(const Source& source, nn::WeightTable& weights, const nn::Config& c,
                         int64_t head_dim, const Defaults& defaults,
                         const std::string& layer_type = "full_attention");
/// Whether rope_parameters has numbers of this layer type's own.
bool has_own_rope(const Source& source, const std::string& layer_type);

/// Calls change(attention) of each layer that attends.
template <typename Change>
void each_attention(nn::Config& c, const Change& change) {
  for (nn::LayerConfig& layer : c.layers) {
    if (layer.attention() != nullptr) change(*layer.attention());
  }
}
/// Calls change(moe) of each sparse layer.
template <typename Change>
void each_moe(nn::Config& c, const Change& change) {
  for (nn::LayerConfig& layer : c.layers) {
    if (layer.moe() != nullptr) change(*layer.moe());
  }
}

/// For Defaults::is_sparse: which layers have a router, where a GGUF says it by its tensors alone.
std::function<bool(int64_t layer)> has_router(const nn::WeightTable& weights);

/// Of a GGUF: layers without key heads, which carry a state instead of keys and values.
std::vector<bool> layers_without_keys(const Source& source, int64_t n_layers);
/// Where heads differ from layer to layer. Throws Error(bad_model) unless key heads divide them.
void check_heads(const Source& source, size_t layer, const nn::AttentionConfig& attention);

/// Layers that see all do not rotate, where some layers have a window.
void rotate_where_sliding(nn::Config& c);
/// Layers with a window rotate without being stretched.
void stretch_where_not_sliding(nn::Config& c);
/// For Defaults::slides: all layers, or all but every period-th.
inline bool every_layer(int64_t) { return true; }
template <int64_t period>
bool all_but_every(int64_t layer) {
  return (layer + 1) % period != 0;
}

/// Which layers slide: as layer_types or a pattern says, else `otherwise`. [n_layers]
/// Throws Error(unsupported) for a type of layer that is neither full nor sliding attention nor `other`.
std::vector<bool> sliding_layers(const Source& source, int64_t n_layers,
                                 const std::function<bool(int64_t layer)>& otherwise,
                                 std::string_view other = {});

/// What bounds gates and values, by layer: those of experts, and those of the shared one or of the dense block. 0, or an
/// end before the last layer: nothing.
void read_clamps(nn::Config& c, const Source& source, const Key& experts, const Key& shared);
/// MiniCPM's scales of embeddings, residuals and logits.
void read_minicpm_scales(nn::Config& c, const Source& source);
/// The Qwen families and who follows them: a window only where use_sliding_window says so; unless
/// `defaults` says otherwise in the layers from max_window_layers on.
nn::Config read_qwen(const Source& source, nn::WeightTable& weights, Defaults defaults);
/// Granite's multipliers on top of read_decoder, and its routers.
nn::Config read_granite(const Source& source, nn::WeightTable& weights, const Defaults& defaults);
/// What Gemma 2 and 3 share on top of read_decoder. large: the number of layers of the 27B model,
/// whose attention is scaled otherwise, which a GGUF does not say.
void read_gemma(nn::Config& c, const Source& source, int64_t large);

/// Tensors in a GGUF's layers of Kimi delta attention, and of the latent attention beside it.
inline constexpr TensorName kDeltaTensors[] = {
    {"attn_q_a", "self_attn.q_a_proj"},
    {"attn_q_a_norm", "self_attn.q_a_layernorm"},
    {"attn_q_b", "self_attn.q_b_proj"},
    {"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"},
    {"attn_kv_a_norm", "self_attn.kv_a_layernorm"},
    {"attn_kv_b", "self_attn.kv_b_proj"},
    {"attn_k_b", "self_attn.embed_q"},
    {"attn_v_b", "self_attn.unembed_out"},
    {"attn_gate", "self_attn.g_proj"},
    {"ssm_conv1d_q", "self_attn.q_conv1d"},
    {"ssm_conv1d_k", "self_attn.k_conv1d"},
    {"ssm_conv1d_v", "self_attn.v_conv1d"},
    {"ssm_f_a", "self_attn.f_a_proj"},
    {"ssm_f_b", "self_attn.f_b_proj"},
    {"ssm_g", "self_attn.g_proj"},
    {"ssm_g_a", "self_attn.g_a_proj"},
    {"ssm_g_b", "self_attn.g_b_proj"},
    {"ssm_beta", "self_attn.b_proj"},
    {"ssm_a", "self_attn.A"},
    {"ssm_dt.bias", "self_attn.dt_bias"},
    {"ssm_norm", "self_attn.o_norm"},
    {"ffn_routed_down", "mlp.fc1_latent_proj"},
    {"ffn_routed_up", "mlp.fc2_latent_proj"},
    {"ffn_routed_norm", "mlp.latent_norm"},
    {"attn_res_score", "self_attention_res_score"},
    {"ffn_res_score", "mlp_res_score"},
    {"output_res_score", "model.output_attn_res_score"},
    {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}};
/// Kimi's decoders: delta attention in most layers, latent attention without rotation in the others.
/// own_activation: as Defaults'.
nn::Config read_kimi(const Source& source, nn::WeightTable& weights,
                     std::string_view own_activation = {});

/// The function that config.json calls `name`. Throws Error(unsupported).
kernels::Activation activation_of(const Source& source, const std::string& name);

/// What config.json says of the quantization of the modules it names ("quantization", else
/// "quantization_config"). Of the others the tensors' shapes tell, as they do in mlx-lm. Null when
/// it names none.
std::function<std::optional<nn::QuantizationConfig>(const std::string& path)> quantization_of(
    const Source& source);

/// What quantization_config says of weights quantized by others than MLX; its method is none where there are no such.
/// Throws Error(unsupported) naming the key or method that is not known.
nn::PublishedQuantization read_published_quantization(const Source& source);

}  // namespace sluice::models
