#pragma once

#include "sluice/models/config.h"
#include "sluice/models/family.h"

namespace sluice::models {

/// What Qwen3-Next and Qwen3.5 share: gated delta nets, and in every so-manieth layer attention with gated outputs.
nn::Config read_qwen_hybrid(const Source& source, nn::WeightTable& weights, Defaults defaults);

/// How the names of layers begin that draft tokens.
inline constexpr std::string_view kQwenDrafting[] = {"mtp.", "model.mtp.", "language_model.mtp."};
inline constexpr TensorName kQwenMtpNames[] = {
    {"mtp.fc.", "eh_proj."},
    {"mtp.pre_fc_norm_embedding.", "enorm."},
    {"mtp.pre_fc_norm_hidden.", "hnorm."},
    {"mtp.norm.", "shared_head.norm."},
    {"mtp.layers.0.", ""},
};
inline constexpr MtpForm kQwenMtp{.names = kQwenMtpNames, .norms_may_differ = true};
/// Their tensors in a GGUF's layers.
inline constexpr TensorName kQwenHybridTensors[] = {
    {"post_attention_norm", "post_attention_layernorm"},
    {"attn_qkv", "linear_attn.in_proj_qkv"},
    {"attn_gate", "linear_attn.in_proj_z"},
    {"ssm_alpha", "linear_attn.in_proj_a"},
    {"ssm_beta", "linear_attn.in_proj_b"},
    {"ssm_ba", "linear_attn.in_proj_ba"},
    {"ssm_in", "linear_attn.in_proj_qkvz"},
    {"ssm_a", "linear_attn.A"},
    {"ssm_dt.bias", "linear_attn.dt_bias"},
    {"ssm_conv1d", "linear_attn.conv1d"},
    {"ssm_norm", "linear_attn.norm"},
    {"ssm_out", "linear_attn.out_proj"},
};

}  // namespace sluice::models
