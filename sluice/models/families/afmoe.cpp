#include <cmath>

#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::afmoe {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.vocab_size = 200192,
                               .n_kv_heads = 4,
                               .head_dim = 64,
                               .rms_norm_eps = 1e-5,
                               .renormalize = true,
                               .sliding_window = 2048,
                               .slides = all_but_every<4>,
                               .first_dense_key = "num_dense_layers"});
  rotate_where_sliding(c);
  each_attention(c, [](nn::AttentionConfig& a) { a.has_gate = true; });
  if (s.boolean({"mup_enabled", ""}).value_or(true))
    c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  for (const char* told : {"global_attn_every_n_layers", "num_expert_groups", "num_limited_groups",
                           "load_balance_coeff"})
    s.ignore({told, ""});
  const std::string scores = s.string({"score_func", ""}).value_or("sigmoid");
  const double scale = s.is_gguf() ? 1 : 2.826;
  each_moe(c, [&](nn::MoeConfig& moe) {
    if (scores == "sigmoid") moe.router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
    if (!s.has("routed_scaling_factor") && !s.is_gguf())
      moe.router.weight_scale = static_cast<float>(scale);
  });
  return c;
}

constexpr KeyName kKeys[] = {{"num_shared_experts", "n_shared_experts"},
                             {"route_norm", "norm_topk_prob"},
                             {"route_scale", "routed_scaling_factor"}};
constexpr TensorName kTensors[] = {{".pre_mlp_layernorm.", ".pre_feedforward_layernorm."},
                                   {".post_mlp_layernorm.", ".post_feedforward_layernorm."},
                                   {".mlp.router.gate.", ".mlp.gate."},
                                   {".mlp.expert_bias", ".mlp.gate.e_score_correction_bias"},
                                   {".mlp.shared_experts.", ".mlp.shared_expert."}};
constexpr TensorName kGgufTensors[] = {{"attn_gate", "self_attn.gate_proj"},
                                       {"ffn_norm", "pre_feedforward_layernorm"},
                                       {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}};
constexpr std::string_view kNames[] = {"afmoe"};

}  // namespace

// Arcee's Trinity; as mlx-lm 0.32.2 models/afmoe.py. Norms before and after both blocks; what was attended is gated, element by
// element; layers with a window rotate, the others see all; experts by sigmoids with a bias.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_sandwich_norm,
                           .config_keys = kKeys,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::afmoe
