#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::qwen {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.norm_eps_key = "layer_norm_epsilon"});
  for (nn::LayerConfig& layer : c.layers)
    layer.mlp().intermediate_size /= 2;  // of gate and up together
  for (const char* beyond_training :
       {"use_dynamic_ntk", "use_logn_attn", "scale_attn_weights", "rotary_pct"})
    s.ignore({beyond_training, ""});
  return c;
}

constexpr KeyName kKeys[] = {{"kv_channels", "head_dim"}, {"rotary_emb_base", "rope_theta"}};
constexpr TensorName kTensors[] = {
    {"^transformer.h.", "model.layers."},     {"^transformer.wte.", "model.embed_tokens."},
    {"^transformer.ln_f.", "model.norm."},    {".attn.c_attn.", ".self_attn.qkv_proj."},
    {".attn.c_proj.", ".self_attn.o_proj."},  {".ln_1.", ".input_layernorm."},
    {".ln_2.", ".post_attention_layernorm."}, {".mlp.w1.", ".mlp.up_proj."},
    {".mlp.w2.", ".mlp.gate_proj."},          {".mlp.c_proj.", ".mlp.down_proj."}};
constexpr std::string_view kNames[] = {"qwen"};

}  // namespace

// Qwen 1, arXiv:2309.16609; as mlx-lm 0.32.2 models/qwen.py, which like this leaves out what changes only beyond the trained
// context (dynamic NTK, queries that grow with their position).
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .config_keys = kKeys,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::qwen
