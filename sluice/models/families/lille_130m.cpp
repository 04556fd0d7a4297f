#include <cmath>

#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::lille_130m {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.norm_eps_key = "layer_norm_eps", .interleaved = true});
  constexpr int64_t kMultiple = 256;
  const double width = static_cast<double>(8 * c.hidden_size / 3) / kMultiple;
  for (nn::LayerConfig& layer : c.layers)  // to the nearest multiple, halves to the even one
    layer.mlp().intermediate_size = kMultiple * std::lrint(width);
  c.tie_word_embeddings = true;
  return c;
}

constexpr KeyName kKeys[] = {{"n_embd", "hidden_size"},
                             {"n_head", "num_attention_heads"},
                             {"n_kv_heads", "num_key_value_heads"},
                             {"n_layer", "num_hidden_layers"},
                             {"block_size", "max_position_embeddings"}};
constexpr TensorName kTensors[] = {{"^transformer.tok_embeddings.", "model.embed_tokens."},
                                   {"^transformer.", "model."},
                                   {".attention.norm.", ".input_layernorm."},
                                   {".attention.qkv_proj.", ".self_attn.qkv_proj."},
                                   {".attention.out_proj.", ".self_attn.o_proj."},
                                   {".feed_forward.norm.", ".post_attention_layernorm."},
                                   {".feed_forward.", ".mlp."}};
constexpr std::string_view kNames[] = {"lille-130m"};

}  // namespace

// Lille 130M; as mlx-lm 0.32.2 models/lille-130m.py. Llama with interleaved RoPE, under other names.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .config_keys = kKeys,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::lille_130m
