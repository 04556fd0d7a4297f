#pragma once

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "sluice/io/formats/test_files.h"
#include "sluice/models/load.h"

// For tests: random models whose layers carry states, one for each kind, in float32: rows of 32, three layers.
namespace sluice::decode {

inline constexpr int64_t kHybridVocab = 53;

using TensorShapes = std::map<std::string, std::vector<int64_t>>;

struct HybridModel {
  std::string name, config;
  TensorShapes tensors;
  models::LoadOptions options = {};

  friend std::ostream& operator<<(std::ostream& out, const HybridModel& m) { return out << m.name; }
};

/// The same, which keeps 16 bits of its states.
inline HybridModel with_states(HybridModel model, kernels::KvType type) {
  model.name += type == kernels::KvType::f16 ? "_in_f16" : "_in_bf16";
  model.options.state_type = type;
  return model;
}

inline std::string hybrid_config(const std::string& model_type, const std::string& more) {
  return fmt::format(R"({{"model_type": "{}", "vocab_size": 53, "hidden_size": 32,
    "num_hidden_layers": 3, "intermediate_size": 48, "max_position_embeddings": 4096,
    "tie_word_embeddings": true, "torch_dtype": "float32", {}}})",
                     model_type, more);
}

/// The tensors of each layer after "model.layers.N.", and those around them.
inline TensorShapes hybrid_tensors(const std::vector<TensorShapes>& layers,
                                   const std::string& embedding = "model.embed_tokens",
                                   const std::string& norm = "model.norm") {
  TensorShapes all{{embedding + ".weight", {kHybridVocab, 32}}, {norm + ".weight", {32}}};
  for (size_t i = 0; i < layers.size(); ++i) {
    for (const auto& [name, shape] : layers[i])
      all[fmt::format("{}layers.{}.{}", norm.substr(0, norm.rfind('.') + 1), i, name)] = shape;
  }
  return all;
}

inline TensorShapes operator+(TensorShapes a, const TensorShapes& b) {
  a.insert(b.begin(), b.end());
  return a;
}

inline TensorShapes within(const std::string& module, const TensorShapes& of) {
  TensorShapes all;
  for (const auto& [name, shape] : of) all[module + "." + name] = shape;
  return all;
}

inline TensorShapes two_norms_and_mlp() {
  return TensorShapes{{"input_layernorm.weight", {32}}, {"post_attention_layernorm.weight", {32}}} +
         within("mlp", {{"gate_proj.weight", {48, 32}},
                        {"up_proj.weight", {48, 32}},
                        {"down_proj.weight", {32, 48}}});
}

/// Four heads of 8, two for keys.
inline TensorShapes attention(int64_t gates = 1) {
  return within("self_attn", {{"q_proj.weight", {gates * 32, 32}},
                              {"k_proj.weight", {16, 32}},
                              {"v_proj.weight", {16, 32}},
                              {"o_proj.weight", {32, 32}}});
}

/// Qwen3.5: gated delta nets, and attention in the last layer.
inline HybridModel gated_delta_model() {
  const TensorShapes linear =
      two_norms_and_mlp() + within("linear_attn", {{"in_proj_qkv.weight", {80, 32}},
                                                   {"in_proj_z.weight", {48, 32}},
                                                   {"in_proj_a.weight", {4, 32}},
                                                   {"in_proj_b.weight", {4, 32}},
                                                   {"conv1d.weight", {80, 4, 1}},
                                                   {"A_log", {4}},
                                                   {"dt_bias", {4}},
                                                   {"norm.weight", {12}},
                                                   {"out_proj.weight", {32, 48}}});
  const TensorShapes full = two_norms_and_mlp() + attention(2) +
                            within("self_attn", {{"q_norm.weight", {8}}, {"k_norm.weight", {8}}});
  return {"gated_delta",
          hybrid_config("qwen3_5", R"("num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 8, "rms_norm_eps": 1e-5, "full_attention_interval": 3,
            "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
            "linear_value_head_dim": 12, "linear_conv_kernel_dim": 4)"),
          hybrid_tensors({linear, linear, full})};
}

/// The tensors of Qwen3.5's layer that drafts tokens.
inline TensorShapes gated_delta_mtp() {
  return TensorShapes{{"mtp.fc.weight", {32, 64}},
                      {"mtp.pre_fc_norm_embedding.weight", {32}},
                      {"mtp.pre_fc_norm_hidden.weight", {32}},
                      {"mtp.norm.weight", {32}}} +
         within("mtp.layers.0",
                two_norms_and_mlp() + attention(2) +
                    within("self_attn", {{"q_norm.weight", {8}}, {"k_norm.weight", {8}}}));
}

/// MiMo, with such a layer: attention in all of them.
inline HybridModel mimo_model() {
  const TensorShapes layer = two_norms_and_mlp() + attention();
  return {"mimo", hybrid_config("mimo", R"("num_attention_heads": 4, "num_key_value_heads": 2,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0)"),
          hybrid_tensors({layer, layer, layer}) +
              within("model.mtp_layers.0", layer + TensorShapes{{"token_layernorm.weight", {32}},
                                                                {"hidden_layernorm.weight", {32}},
                                                                {"input_proj.weight", {32, 64}},
                                                                {"final_layernorm.weight", {32}}})};
}

/// Mistral: attention to 300 tokens, no states.
inline HybridModel windows_model() {
  const TensorShapes layer = two_norms_and_mlp() + attention();
  return {"windows", hybrid_config("mistral", R"("num_attention_heads": 4, "num_key_value_heads": 2,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "sliding_window": 300)"),
          hybrid_tensors({layer, layer, layer})};
}

/// Falcon-H1: attention and Mamba-2 beside each other.
inline HybridModel mamba2_model() {
  TensorShapes layer = attention() + within("mamba", {{"in_proj.weight", {2 * 48 + 2 * 24 + 4, 32}},
                                                      {"conv1d.weight", {48 + 2 * 24, 1, 4}},
                                                      {"A_log", {4}},
                                                      {"D", {4}},
                                                      {"dt_bias", {4}},
                                                      {"out_proj.weight", {32, 48}}});
  layer = layer + TensorShapes{{"input_layernorm.weight", {32}}, {"pre_ff_layernorm.weight", {32}}};
  layer = layer + within("feed_forward", {{"gate_proj.weight", {48, 32}},
                                          {"up_proj.weight", {48, 32}},
                                          {"down_proj.weight", {32, 48}}});
  return {"mamba2",
          hybrid_config("falcon_h1", R"("num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 8, "rms_norm_eps": 1e-5, "mamba_n_heads": 4, "mamba_d_head": 12,
            "mamba_n_groups": 2, "mamba_d_state": 12, "mamba_d_conv": 4, "key_multiplier": 0.5)"),
          hybrid_tensors({layer, layer, layer}, "model.embed_tokens", "model.final_layernorm")};
}

/// Mamba, which has no attention.
inline HybridModel mamba_model() {
  const TensorShapes layer =
      TensorShapes{{"norm.weight", {32}}} + within("mixer", {{"in_proj.weight", {2 * 40, 32}},
                                                             {"conv1d.weight", {40, 1, 4}},
                                                             {"conv1d.bias", {40}},
                                                             {"x_proj.weight", {2 + 2 * 10, 40}},
                                                             {"dt_proj.weight", {40, 2}},
                                                             {"dt_proj.bias", {40}},
                                                             {"A_log", {40, 10}},
                                                             {"D", {40}},
                                                             {"out_proj.weight", {32, 40}}});
  HybridModel model{
      "mamba", hybrid_config("mamba", R"("state_size": 10, "time_step_rank": "auto",
                      "conv_kernel": 4)"),
      hybrid_tensors({layer, layer, layer}, "backbone.embeddings", "backbone.norm_f")};
  model.config.replace(model.config.find("48"), 2, "40");
  return model;
}

/// A latent attention whose queries come at once, 3 heads of 8 and 4.
inline TensorShapes latent_attention() {
  return {{"q_proj.weight", {3 * 12, 32}},
          {"kv_a_proj_with_mqa.weight", {16 + 4, 32}},
          {"kv_a_layernorm.weight", {16}},
          {"kv_b_proj.weight", {3 * (8 + 8), 16}},
          {"o_proj.weight", {32, 24}}};
}

/// Kimi Linear: delta nets with decays by channel, and latent attention in the last layer.
inline HybridModel kimi_model() {
  const TensorShapes delta =
      two_norms_and_mlp() + within("self_attn", {{"q_proj.weight", {24, 32}},
                                                 {"k_proj.weight", {24, 32}},
                                                 {"v_proj.weight", {24, 32}},
                                                 {"q_conv1d.weight", {24, 1, 4}},
                                                 {"k_conv1d.weight", {24, 1, 4}},
                                                 {"v_conv1d.weight", {24, 1, 4}},
                                                 {"f_a_proj.weight", {8, 32}},
                                                 {"f_b_proj.weight", {24, 8}},
                                                 {"g_a_proj.weight", {8, 32}},
                                                 {"g_b_proj.weight", {24, 8}},
                                                 {"b_proj.weight", {3, 32}},
                                                 {"A_log", {1, 1, 3, 1}},
                                                 {"dt_bias", {24}},
                                                 {"o_norm.weight", {8}},
                                                 {"o_proj.weight", {32, 24}}});
  const TensorShapes latent = two_norms_and_mlp() + within("self_attn", latent_attention());
  return {"kimi",
          hybrid_config("kimi_linear", R"("num_attention_heads": 3, "num_key_value_heads": 3,
            "head_dim": 8, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "kv_lora_rank": 16,
            "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8, "num_experts": 0,
            "linear_attn_config": {"num_heads": 3, "head_dim": 8, "short_conv_kernel_size": 4,
              "kda_layers": [1, 2], "full_attn_layers": [3]})"),
          hybrid_tensors({delta, delta, latent})};
}

/// Ring-linear: lightning attention, and attention in the last layer.
inline HybridModel lightning_model() {
  const auto with = [](TensorShapes more, int64_t rows) {
    more["query_key_value.weight"] = {rows, 32};
    more["dense.weight"] = {32, 32};
    return two_norms_and_mlp() + within("attention", more);
  };
  const TensorShapes linear = with({{"g_proj.weight", {32, 32}}, {"g_norm.weight", {32}}}, 96);
  return {"lightning",
          hybrid_config("bailing_moe_linear", R"("num_attention_heads": 4, "head_dim": 8,
            "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "layer_group_size": 3, "group_norm_size": 2, "partial_rotary_factor": 0.5)"),
          hybrid_tensors({linear, linear, with({}, 64)}, "model.word_embeddings")};
}

/// RWKV-7, which has no attention.
inline HybridModel rwkv7_model() {
  const auto layer = [](bool is_first) {
    TensorShapes time, all;
    for (const char* name : {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"}) time[name] = {1, 1, 32};
    for (const char* name : {"k_k", "k_a", "r_k"}) time[name] = {4, 8};
    for (const char* name : {"r_proj", "k_proj", "v_proj", "o_proj"})
      time[name + std::string(".weight")] = {32, 32};
    for (const char* name : {"w_lora", "a_lora", "v_lora", "g_lora"}) {
      if (is_first && name == std::string("v_lora")) continue;
      time[name + std::string(".lora.0.weight")] = {6, 32};
      time[name + std::string(".lora.2.weight")] = {32, 6};
      if (name != std::string("g_lora")) time[name + std::string(".lora.2.bias")] = {32};
    }
    time["g_norm.weight"] = time["g_norm.bias"] = {32};
    for (const char* norm : {"pre_norm", "attn_norm", "ffn_norm"}) {
      if (!is_first && norm == std::string("pre_norm")) continue;
      all[norm + std::string(".weight")] = all[norm + std::string(".bias")] = {32};
    }
    return all + within("attn", time) +
           within("ffn", {{"x_k", {32}}, {"key.weight", {48, 32}}, {"value.weight", {32, 48}}});
  };
  return {"rwkv7", hybrid_config("rwkv7", R"("norm_eps": 1e-5, "head_dim": 8)"),
          hybrid_tensors({layer(true), layer(false), layer(false)}, "model.embeddings") +
              TensorShapes{{"model.norm.bias", {32}}}};
}

/// RecurrentGemma: gated linear recurrences, and attention with a window in the last layer.
inline HybridModel griffin_model() {
  const auto layer = [](const TensorShapes& temporal) {
    return TensorShapes{{"temporal_pre_norm.weight", {32}}, {"channel_pre_norm.weight", {32}}} +
           within("temporal_block", temporal) +
           within("mlp_block", {{"gate_proj.weight", {24, 32}},
                                {"up_proj.weight", {24, 32}},
                                {"down_proj.weight", {32, 24}}});
  };
  const TensorShapes recurrent = layer({{"linear_x.weight", {36, 32}},
                                        {"linear_y.weight", {36, 32}},
                                        {"linear_out.weight", {32, 36}},
                                        {"conv_1d.weight", {36, 1, 4}},
                                        {"conv_1d.bias", {36}},
                                        {"rg_lru.recurrent_param", {36}},
                                        {"rg_lru.input_gate_weight", {3, 12, 12}},
                                        {"rg_lru.input_gate_bias", {3, 12}},
                                        {"rg_lru.recurrent_gate_weight", {3, 12, 12}},
                                        {"rg_lru.recurrent_gate_bias", {3, 12}}});
  const TensorShapes local = layer({{"q_proj.weight", {32, 32}},
                                    {"k_proj.weight", {8, 32}},
                                    {"v_proj.weight", {8, 32}},
                                    {"o_proj.weight", {32, 32}}});
  return {"griffin",
          hybrid_config("recurrent_gemma", R"("num_attention_heads": 4, "rms_norm_eps": 1e-6,
            "attention_window_size": 300, "logits_soft_cap": 30.0)"),
          hybrid_tensors({recurrent, recurrent, local}, "model.embed_tokens", "model.final_norm")};
}

/// LongCat-Flash-Lite, whose embeddings are of n-grams too.
inline HybridModel ngram_model() {
  TensorShapes layer = within("mlp", {{"router.classifier.weight", {5, 32}},
                                      {"router.e_score_correction_bias", {5}},
                                      {"switch_mlp.gate_proj.weight", {4, 16, 32}},
                                      {"switch_mlp.up_proj.weight", {4, 16, 32}},
                                      {"switch_mlp.down_proj.weight", {4, 32, 16}}});
  for (const std::string i : {"0", "1"}) {
    layer = layer + within("self_attn." + i, latent_attention());
    layer = layer + within("mlps." + i, {{"gate_proj.weight", {48, 32}},
                                         {"up_proj.weight", {48, 32}},
                                         {"down_proj.weight", {32, 48}}});
    layer["input_layernorm." + i + ".weight"] = {32};
    layer["post_attention_layernorm." + i + ".weight"] = {32};
  }
  return {"ngrams",
          hybrid_config("longcat_flash_ngram", R"("num_attention_heads": 3, "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "kv_lora_rank": 16, "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 8, "v_head_dim": 8, "ffn_hidden_size": 48, "moe_topk": 2,
            "expert_ffn_hidden_size": 16, "n_routed_experts": 4, "zero_expert_num": 1,
            "ngram_vocab_size_ratio": 2, "emb_neighbor_num": 3, "emb_split_num": 1)"),
          hybrid_tensors({layer, layer, layer}, "model.ngram_embeddings.word_embeddings") +
              within("model.ngram_embeddings", {{"embedders.0.weight", {107, 16}},
                                                {"embedders.1.weight", {109, 16}},
                                                {"post_projs.0.weight", {32, 16}},
                                                {"post_projs.1.weight", {32, 16}}})};
}

/// Baichuan-M1: keys and values are mixed with those of the token before; the middle layer has a window.
inline HybridModel convolved_keys_model() {
  const TensorShapes layer =
      two_norms_and_mlp() + within("self_attn", {{"W_pack.weight", {64, 32}},
                                                 {"conv_k", {1, 1, 2, 1, 2}},
                                                 {"conv_v", {1, 1, 2, 1, 2}},
                                                 {"o_proj.weight", {32, 32}}});
  return {"convolved_keys",
          hybrid_config("baichuan_m1", R"("num_attention_heads": 4, "num_key_value_heads": 2,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "conv_window": 2, "sliding_window": 90,
            "sliding_window_layers": [1])"),
          hybrid_tensors({layer, layer, layer})};
}

/// LFM2: short convolutions, and attention in the last layer.
inline HybridModel short_conv_model() {
  const TensorShapes block =
      TensorShapes{{"operator_norm.weight", {32}}, {"ffn_norm.weight", {32}}} +
      within("feed_forward",
             {{"w1.weight", {48, 32}}, {"w3.weight", {48, 32}}, {"w2.weight", {32, 48}}});
  const TensorShapes conv = block + within("conv", {{"in_proj.weight", {96, 32}},
                                                    {"conv.weight", {32, 1, 3}},
                                                    {"out_proj.weight", {32, 32}}});
  const TensorShapes full = block + within("self_attn", {{"q_proj.weight", {32, 32}},
                                                         {"k_proj.weight", {16, 32}},
                                                         {"v_proj.weight", {16, 32}},
                                                         {"out_proj.weight", {32, 32}},
                                                         {"q_layernorm.weight", {8}},
                                                         {"k_layernorm.weight", {8}}});
  return {"short_conv", hybrid_config("lfm2", R"("num_attention_heads": 4, "num_key_value_heads": 2,
            "norm_eps": 1e-5, "conv_L_cache": 3, "full_attn_idxs": [2])"),
          hybrid_tensors({conv, conv, full}, "model.embed_tokens", "model.embedding_norm")};
}

/// Gear: queries gated by convolved keys and values in place of attention, and attention in the last layer.
inline HybridModel conv_mixer_model() {
  TensorShapes block = two_norms_and_mlp();
  block = block + TensorShapes{{"pre_feedforward_layernorm.weight", {32}},
                               {"post_feedforward_layernorm.weight", {32}}};
  const TensorShapes heads = within("local_mixer", {{"q_proj.weight", {32, 32}},
                                                    {"k_proj.weight", {16, 32}},
                                                    {"v_proj.weight", {16, 32}},
                                                    {"o_proj.weight", {32, 32}},
                                                    {"q_norm.weight", {8}},
                                                    {"k_norm.weight", {8}},
                                                    {"key_conv.weight", {16, 4, 1}},
                                                    {"value_conv.weight", {16, 4, 1}}});
  const TensorShapes full =
      block + attention() + within("self_attn", {{"q_norm.weight", {8}}, {"k_norm.weight", {8}}});
  return {"conv_mixer", hybrid_config("gear", R"("num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 8, "rms_norm_eps": 1e-5, "conv_L_cache": 4, "query_pre_attn_scalar": 8,
            "rope_theta": 10000.0, "rope_local_base_freq": 10000.0, "sliding_window": 90,
            "hidden_activation": "gelu_pytorch_tanh",
            "layer_types": ["conv_mixer", "conv_mixer", "full_attention"])"),
          hybrid_tensors({block + heads, block + heads, full})};
}

/// DeepSeek-V3.2: a token attends the 20 keys that an indexer chooses.
inline HybridModel indexed_keys_model() {
  TensorShapes attention = latent_attention();
  attention.erase("q_proj.weight");
  const TensorShapes layer = two_norms_and_mlp() + within("self_attn", attention) +
                             within("self_attn", {{"q_a_proj.weight", {16, 32}},
                                                  {"q_a_layernorm.weight", {16}},
                                                  {"q_b_proj.weight", {3 * 12, 16}},
                                                  {"indexer.wq_b.weight", {16, 16}},
                                                  {"indexer.wk.weight", {8, 32}},
                                                  {"indexer.k_norm.weight", {8}},
                                                  {"indexer.k_norm.bias", {8}},
                                                  {"indexer.weights_proj.weight", {2, 32}}});
  return {"indexed_keys",
          hybrid_config("deepseek_v32", R"("num_attention_heads": 3, "num_key_value_heads": 3,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "q_lora_rank": 16, "kv_lora_rank": 16,
            "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8, "index_n_heads": 2,
            "index_head_dim": 8, "index_topk": 20)"),
          hybrid_tensors({layer, layer, layer})};
}

/// MiniMax-M3: a token attends three blocks of 12 keys, of which its own is one.
inline HybridModel indexed_blocks_model() {
  const TensorShapes layer = two_norms_and_mlp() + attention() +
                             within("self_attn", {{"q_norm.weight", {8}},
                                                  {"k_norm.weight", {8}},
                                                  {"index_q_proj.weight", {16, 32}},
                                                  {"index_k_proj.weight", {8, 32}},
                                                  {"index_q_norm.weight", {8}},
                                                  {"index_k_norm.weight", {8}}});
  return {"indexed_blocks",
          hybrid_config("minimax_m3", R"("num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 8, "rotary_dim": 4, "rms_norm_eps": 1e-5, "dense_intermediate_size": 48,
            "sparse_attention_config": {"sparse_num_index_heads": 2, "sparse_index_dim": 8,
              "sparse_block_size": 12, "sparse_topk_blocks": 3, "sparse_local_block": 1})"),
          hybrid_tensors({layer, layer, layer})};
}

/// DeepSeek-V4.1: rows of three tokens, of which a token attends the 20 that an indexer chooses from four runs of eight, beside a
/// window; the second layer attends and chooses of the first one's. Rows, keys and queries are rounded.
inline HybridModel compressed_rows_model() {
  const TensorShapes mixes = {{"fn", {8, 64}}, {"base", {8}}, {"scale", {3}}};
  const TensorShapes experts = within("gate", {{"weight", {4, 32}}}) +
                               within("experts.switch_mlp", {{"gate_proj.weight", {4, 24, 32}},
                                                             {"up_proj.weight", {4, 24, 32}},
                                                             {"down_proj.weight", {4, 32, 24}}}) +
                               within("shared_experts", {{"gate_proj.weight", {24, 32}},
                                                         {"up_proj.weight", {24, 32}},
                                                         {"down_proj.weight", {32, 24}}});
  const TensorShapes attention = {
      {"q_a_proj.weight", {16, 32}},     {"q_a_norm.weight", {16}},
      {"q_b_proj.weight", {3 * 32, 16}}, {"kv_proj.weight", {32, 32}},
      {"kv_norm.weight", {32}},          {"o_a_proj.weight", {3, 8, 32}},
      {"o_b_proj.weight", {32, 24}},     {"sinks", {3}}};
  const TensorShapes layer =
      within("mlp", experts) + within("attn_hc", mixes) + within("ffn_hc", mixes) +
      within("self_attn", attention) +
      TensorShapes{{"input_layernorm.weight", {32}}, {"post_attention_layernorm.weight", {32}}};
  const TensorShapes chooses = within(
      "self_attn.indexer", {{"q_b_proj.weight", {6 * 32, 16}}, {"weights_proj.weight", {6, 32}}});
  const TensorShapes makes = within("self_attn", {{"indexer.k_proj.weight", {32, 32}},
                                                  {"indexer.k_norm.weight", {32}},
                                                  {"compressor.kv_proj.weight", {32, 32}},
                                                  {"compressor.gate_proj.weight", {32, 32}},
                                                  {"compressor.kv_norm.weight", {32}}});
  return {"compressed_rows",
          hybrid_config("deepseek_v41", R"("num_attention_heads": 3, "rms_norm_eps": 1e-5,
            "head_dim": 32, "qk_rope_head_dim": 8, "q_lora_rank": 16, "o_groups": 3,
            "o_lora_rank": 8, "moe_intermediate_size": 24, "n_routed_experts": 4,
            "num_experts_per_tok": 2, "sliding_window": 70, "rope_theta": 10000.0, "hc_mult": 2,
            "compress_ratios": [3, 3, 0], "kv_source_layer_ids": [0],
            "index_source_layer_ids": [0, 1], "candidate_source_layer_id": 0,
            "candidate_topk_blocks": 4, "candidate_block_size": 8, "index_n_heads": 6,
            "index_head_dim": 32, "index_topk": 20)"),
          hybrid_tensors({layer + chooses + makes, layer + chooses, layer}) +
              TensorShapes{{"lm_head.weight", {kHybridVocab, 32}}}};
}

/// Element i of a tensor; nothing: a random one.
using ValueOf = std::function<std::optional<float>(const std::string& name, int64_t i)>;

/// Writes config.json and model.safetensors.
inline void write_hybrid(const io::TestDirectory& directory,
                         const HybridModel& model = gated_delta_model(),
                         const ValueOf& value_of = {}) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::string header = "{", data;
  for (const auto& [name, shape] : model.tensors) {
    const auto n = std::reduce(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
    const size_t begin = data.size();
    for (int64_t i = 0; i < n; ++i) {
      const bool is_norm = name.find("norm") != std::string::npos;
      const auto width = static_cast<float>(shape.size() > 1 ? shape[1] : 1);
      const float drawn =
          is_norm ? 1 + normal(random) / 4 : 1.5F * normal(random) / std::sqrt(width);
      const float value = value_of ? value_of(name, i).value_or(drawn) : drawn;
      data.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
    header +=
        fmt::format(R"({}"{}":{{"dtype":"F32","shape":{},"data_offsets":[{},{}]}})",
                    header.size() == 1 ? "" : ",", name, io::shape_text(shape), begin, data.size());
  }
  header += "}";
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  directory.write("model.safetensors", file + header + data);
  directory.write("config.json", model.config);
}

}  // namespace sluice::decode
