#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::kimi_linear {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) { return read_kimi(s, w); }

constexpr TensorName kTensors[] = {
    {".block_sparse_moe.", ".mlp."},
    {".mlp.shared_experts.", ".mlp.shared_expert."},
    {".mlp.e_score_correction_bias", ".mlp.gate.e_score_correction_bias"},
    {"_conv.conv.", "_conv1d."},
    {".w1.", ".gate_proj."},
    {".w2.", ".down_proj."},
    {".w3.", ".up_proj."}};
constexpr TensorName kGgufTensors[] = {{"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"},
                                       {"attn_kv_a_norm", "self_attn.kv_a_layernorm"},
                                       {"attn_kv_b", "self_attn.kv_b_proj"},
                                       {"attn_k_b", "self_attn.embed_q"},
                                       {"attn_v_b", "self_attn.unembed_out"},
                                       {"ssm_conv1d_q", "self_attn.q_conv1d"},
                                       {"ssm_conv1d_k", "self_attn.k_conv1d"},
                                       {"ssm_conv1d_v", "self_attn.v_conv1d"},
                                       {"ssm_f_a", "self_attn.f_a_proj"},
                                       {"ssm_f_b", "self_attn.f_b_proj"},
                                       {"ssm_g_a", "self_attn.g_a_proj"},
                                       {"ssm_g_b", "self_attn.g_b_proj"},
                                       {"ssm_beta", "self_attn.b_proj"},
                                       {"ssm_a", "self_attn.A"},
                                       {"ssm_dt.bias", "self_attn.dt_bias"},
                                       {"ssm_norm", "self_attn.o_norm"},
                                       {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}};
constexpr std::string_view kDrafting[] = {"model.mtp"};
constexpr std::string_view kNames[] = {"kimi_linear", "kimi-linear"};

}  // namespace

// Kimi Linear, arXiv:2510.26692; as mlx-lm 0.32.2 models/kimi_linear.py. Kimi delta attention in three of four layers, the
// fourth is latent attention; nothing is rotated; experts chosen by sigmoids with a bias.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors,
                           .drafting = kDrafting};

}  // namespace sluice::models::families::kimi_linear
