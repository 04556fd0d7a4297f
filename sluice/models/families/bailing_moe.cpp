#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::bailing_moe {
namespace {

/// Ling's first models are run with their head's columns divided by their lengths; conversions hold the result.
void check_head(const Source& s, const nn::WeightTable& w) {
  if (!s.boolean({"norm_head", ""}).value_or(false) || w.find("lm_head.scales") != nullptr) return;
  fail(ErrorKind::unsupported,
       "{}: norm_head is true, which is supported in GGUF and in quantized MLX conversions",
       s.where());
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  // ggml's converter permutes q and k of the first models.
  nn::Config c = read_decoder(s, w, {.interleaved = s.architecture() == "bailingmoe"});
  check_head(s, w);
  const auto rotated = s.integer({"rotary_dim", ""});
  each_attention(c, [&](nn::AttentionConfig& a) {
    if (rotated && *rotated <= a.head_dim) a.rope.dims = *rotated;
  });
  for (const char* told :
       {"use_qk_norm", "norm_softmax", "moe_router_enable_expert_bias", "num_nextn_predict_layers",
        "moe_router_enable_shared_expert", "moe_router_enable_routed_scaling", "router_dtype",
        "moe_router_topk_scaling_factor", "router_type"})
    s.ignore({told, ""});
  const auto shared = s.integer({"moe_shared_expert_intermediate_size", ""});
  const int64_t n_shared = s.integer({"n_shared_experts", ""}).value_or(0);
  each_moe(c, [&](nn::MoeConfig& moe) {
    if (shared && *shared > 0) moe.shared_intermediate_size = *shared * n_shared;
    moe.router.least_sum = 1e-20F;
  });
  return c;
}

constexpr KeyName kKeys[] = {{"num_shared_experts", "n_shared_experts"}};
constexpr TensorName kTensors[] = {{"model.word_embeddings.", "model.embed_tokens."},
                                   {".attention.query_key_value.", ".self_attn.qkv_proj."},
                                   {".attention.dense.", ".self_attn.o_proj."},
                                   {".attention.query_layernorm.", ".self_attn.q_norm."},
                                   {".attention.key_layernorm.", ".self_attn.k_norm."},
                                   {".mlp.gate.gate_proj.", ".mlp.gate."},
                                   {".mlp.gate.expert_bias", ".mlp.gate.e_score_correction_bias"},
                                   {".mlp.shared_experts.", ".mlp.shared_expert."}};
constexpr TensorName kGgufTensors[] = {{"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}};
constexpr std::string_view kNames[] = {"bailing_moe", "bailing_moe_v2", "bailingmoe",
                                       "bailingmoe2"};

}  // namespace

// Ling and Ring, 1 and 2, arXiv:2503.05139 and arXiv:2510.22115; as mlx-lm 0.32.2 models/bailing_moe.py. Experts by softmax or
// by sigmoids with a bias, in groups; shared experts without a gate.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .config_keys = kKeys,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors,
                           .drops_layers_beyond = true};

}  // namespace sluice::models::families::bailing_moe
