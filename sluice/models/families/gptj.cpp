#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::gptj {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.vocab_size = 50400,
                               .rms_norm_eps = 1e-5,
                               .norm_eps_key = "layer_norm_epsilon",
                               .activation = "gelu_new",
                               .gated_mlp = false,
                               .centered_norms = true,
                               .interleaved = true});
  const int64_t rotated = s.integer({"rotary_dim", ""}).value_or(c.attention()->head_dim);
  if (rotated > c.attention()->head_dim)
    fail(ErrorKind::bad_model, "{}: rotary_dim is {}, a head has {}", s.where(), rotated,
         c.attention()->head_dim);
  for (nn::LayerConfig& layer : c.layers) {
    layer.attention()->rope.dims = rotated;
    if (layer.mlp().intermediate_size == 0) layer.mlp().intermediate_size = 4 * c.hidden_size;
  }
  s.ignore({"scale_attn_weights", ""});
  return c;
}

constexpr KeyName kKeys[] = {
    {"n_embd", "hidden_size"},        {"n_head", "num_attention_heads"},
    {"n_layer", "num_hidden_layers"}, {"n_positions", "max_position_embeddings"},
    {"n_inner", "intermediate_size"}, {"activation_function", "hidden_act"}};
constexpr TensorName kTensors[] = {{"^transformer.", "model."},
                                   {"^model.h.", "model.layers."},
                                   {"^model.wte.", "model.embed_tokens."},
                                   {"^model.ln_f.", "model.norm."},
                                   {".attn.out_proj.", ".self_attn.o_proj."},
                                   {".attn.q_proj.", ".self_attn.q_proj."},
                                   {".attn.k_proj.", ".self_attn.k_proj."},
                                   {".attn.v_proj.", ".self_attn.v_proj."},
                                   {".ln_1.", ".input_layernorm."},
                                   {".mlp.fc_in.", ".mlp.up_proj."},
                                   {".mlp.fc_out.", ".mlp.down_proj."}};
constexpr std::string_view kNames[] = {"gptj"};

}  // namespace

// GPT-J (Wang & Komatsuzaki 2021); as mlx-lm 0.32.2 models/gptj.py. Both blocks beside each other after one norm, interleaved
// partial RoPE, a bias at the head.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_parallel,
                           .config_keys = kKeys,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::gptj
