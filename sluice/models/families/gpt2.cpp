#include <vector>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::gpt2 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-5,
                               .norm_eps_key = "layer_norm_epsilon",
                               .activation = "gelu_new",
                               .gated_mlp = false,
                               .centered_norms = true});
  if (s.boolean({"scale_attn_by_inverse_layer_idx", ""}).value_or(false))
    fail(ErrorKind::unsupported,
         "{}: scale_attn_by_inverse_layer_idx is true, which is not supported", s.where());
  s.ignore({"scale_attn_weights", ""});
  const bool one_key = s.boolean({"multi_query", ""}).value_or(s.architecture() == "gpt_bigcode");
  for (nn::LayerConfig& layer : c.layers) {
    layer.attention()->rope = {.kind = nn::RopeConfig::Kind::none};
    if (one_key && !s.is_gguf()) layer.attention()->n_kv_heads = 1;
    if (layer.mlp().intermediate_size == 0) layer.mlp().intermediate_size = 4 * c.hidden_size;
  }
  c.learned_positions = c.max_position_embeddings;
  // As published all matrices of layers are [in, out]; of most shapes cannot tell, of this one they can.
  const io::TensorInfo* const qkv = w.find("model.layers.0.self_attn.qkv_proj.weight");
  const std::vector<int64_t> published{c.hidden_size, 3 * c.hidden_size};
  if (!s.is_gguf() && qkv != nullptr && qkv->shape == published)
    w.is_transposed = [](std::string_view path) { return path.ends_with("_proj"); };
  return c;
}

constexpr KeyName kKeys[] = {
    {"n_embd", "hidden_size"},        {"n_head", "num_attention_heads"},
    {"n_layer", "num_hidden_layers"}, {"n_positions", "max_position_embeddings"},
    {"n_inner", "intermediate_size"}, {"activation_function", "hidden_act"}};
constexpr TensorName kTensors[] = {{"^transformer.", ""},
                                   {"^model.", ""},
                                   {"^h.", "model.layers."},
                                   {"^wte.", "model.embed_tokens."},
                                   {"^wpe.", "model.embed_positions."},
                                   {"^ln_f.", "model.norm."},
                                   {".attn.c_attn.", ".self_attn.qkv_proj."},
                                   {".attn.c_proj.", ".self_attn.o_proj."},
                                   {".ln_1.", ".input_layernorm."},
                                   {".ln_2.", ".post_attention_layernorm."},
                                   {".mlp.c_fc.", ".mlp.up_proj."},
                                   {".mlp.c_proj.", ".mlp.down_proj."}};
constexpr TensorName kGgufTensors[] = {{"position_embd", "model.embed_positions"}};
constexpr std::string_view kNames[] = {"gpt2", "gpt_bigcode", "starcoder"};

}  // namespace

// GPT-2 (Radford and others, 2019) and StarCoder, arXiv:2305.06161; as mlx-lm 0.32.2 models/gpt2.py and gpt_bigcode.py, but for the
// activation, which is config.json's. Learned positions, layer norms, biases everywhere; StarCoder has one key head.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .config_keys = kKeys,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::gpt2
