#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::dbrx {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(
      s, w, {.rms_norm_eps = 1e-5, .centered_norms = true, .renormalize = true, .rope_theta = 5e5});
  const double clip = s.number({"attn_config/clip_qkv", "%.attention.clamp_kqv"}).value_or(0);
  each_attention(c, [&](nn::AttentionConfig& a) { a.clip = static_cast<float>(clip); });
  const Key share{"ffn_config/moe_normalize_expert_weights", ""};
  const bool renormalize = !s.has(share.hf) || s.number(share);
  if (const double norm = s.number(share).value_or(1); norm != 1)
    fail(ErrorKind::unsupported, "{}: {} is {}, only 1 is supported", s.where(), share.hf, norm);
  if (const auto f = s.string({"ffn_config/ffn_act_fn/name", ""}); f && *f != "silu")
    fail(ErrorKind::unsupported, "{}: ffn_act_fn is {}, only silu is supported", s.where(), *f);
  each_moe(c, [&](nn::MoeConfig& moe) { moe.router.renormalize = renormalize; });
  // As published all experts stand below each other, and w2 is [in, out].
  if (w.find("model.layers.0.mlp.experts.down_proj") != nullptr)
    w.is_transposed = [](std::string_view path) { return path.ends_with(".experts.down_proj"); };
  return c;
}

constexpr KeyName kKeys[] = {{"d_model", "hidden_size"},
                             {"n_layers", "num_hidden_layers"},
                             {"n_heads", "num_attention_heads"},
                             {"max_seq_len", "max_position_embeddings"},
                             {"attn_config/kv_n_heads", "num_key_value_heads"},
                             {"attn_config/rope_theta", "rope_theta"},
                             {"ffn_config/ffn_hidden_size", "intermediate_size"},
                             {"ffn_config/moe_num_experts", "num_experts"},
                             {"ffn_config/moe_top_k", "num_experts_per_tok"}};
constexpr TensorName kTensors[] = {{"^transformer.blocks.", "model.layers."},
                                   {"^transformer.wte.", "model.embed_tokens."},
                                   {"^transformer.norm_f.", "model.norm."},
                                   {".norm_attn_norm.norm_1.", ".input_layernorm."},
                                   {".norm_attn_norm.norm_2.", ".post_attention_layernorm."},
                                   {".norm_attn_norm.attn.Wqkv.", ".self_attn.qkv_proj."},
                                   {".norm_attn_norm.attn.out_proj.", ".self_attn.o_proj."},
                                   {".ffn.router.layer.", ".mlp.gate."},
                                   {".ffn.experts.mlp.w1", ".mlp.experts.gate_proj"},
                                   {".ffn.experts.mlp.v1", ".mlp.experts.up_proj"},
                                   {".ffn.experts.mlp.w2", ".mlp.experts.down_proj"},
                                   {".ffn.experts.", ".mlp.experts."},
                                   {".w1.", ".gate_proj."},
                                   {".v1.", ".up_proj."},
                                   {".w2.", ".down_proj."}};
constexpr TensorName kGgufTensors[] = {{"attn_output_norm", "post_attention_layernorm"}};
constexpr std::string_view kNames[] = {"dbrx"};

}  // namespace

// DBRX; as mlx-lm 0.32.2 models/dbrx.py. Layer norms without bias, bounded queries, keys and values, every layer sparse.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .config_keys = kKeys,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::dbrx
