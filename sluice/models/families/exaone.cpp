#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::exaone {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) { return read_decoder(s, w); }

constexpr KeyName kKeys[] = {{"num_layers", "num_hidden_layers"},
                             {"layer_norm_epsilon", "rms_norm_eps"},
                             {"activation_function", "hidden_act"}};
constexpr TensorName kTensors[] = {{"^transformer.h.", "model.layers."},
                                   {"^transformer.wte.", "model.embed_tokens."},
                                   {"^transformer.ln_f.", "model.norm."},
                                   {".attn.attention.", ".self_attn."},
                                   {".self_attn.out_proj.", ".self_attn.o_proj."},
                                   {".ln_1.", ".input_layernorm."},
                                   {".ln_2.", ".post_attention_layernorm."},
                                   {".mlp.c_fc_0.", ".mlp.gate_proj."},
                                   {".mlp.c_fc_1.", ".mlp.up_proj."},
                                   {".mlp.c_proj.", ".mlp.down_proj."}};
constexpr std::string_view kNames[] = {"exaone"};

}  // namespace

// EXAONE 3 and 3.5, arXiv:2408.03541; as mlx-lm 0.32.2 models/exaone.py. Llama under other names.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .config_keys = kKeys,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::exaone
