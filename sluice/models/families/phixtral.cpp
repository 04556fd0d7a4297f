#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::phixtral {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  const auto spelled = [&](const char* ours, const char* first, const char* then) {
    s.also(ours, s.has(first) ? first : then);  // the first as mlx-lm spells it
  };
  spelled("hidden_size", "model_dim", "n_embd");
  spelled("num_attention_heads", "num_heads", "n_head");
  spelled("num_hidden_layers", "num_layers", "n_layer");
  spelled("vocab_size", "num_vocab", "vocab_size");
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-5,
                               .norm_eps_key = "layer_norm_epsilon",
                               .activation = "gelu",
                               .gated_mlp = false,
                               .centered_norms = true});
  const int64_t rotated = s.integer({"rotary_dim", ""}).value_or(32);
  each_attention(c, [&](nn::AttentionConfig& a) { a.rope.dims = rotated; });
  each_moe(c, [&](nn::MoeConfig& moe) {
    moe.router.scoring = ops::RouterSpec::Scoring::top_k_then_softmax;
    if (moe.expert.intermediate_size == 0) moe.expert.intermediate_size = 4 * c.hidden_size;
  });
  for (const char* told : {"scale_attn_weights", "activation_function"}) s.ignore({told, ""});
  return c;
}

constexpr KeyName kKeys[] = {{"n_positions", "max_position_embeddings"},
                             {"n_inner", "intermediate_size"}};
constexpr TensorName kTensors[] = {{"^transformer.h.", "model.layers."},
                                   {"^transformer.embd.wte.", "model.embed_tokens."},
                                   {"^lm_head.ln.", "model.norm."},
                                   {"^lm_head.linear.", "lm_head."},
                                   {".ln.", ".input_layernorm."},
                                   {".mixer.Wqkv.", ".self_attn.qkv_proj."},
                                   {".mixer.out_proj.", ".self_attn.o_proj."},
                                   {".moe.gate.", ".mlp.gate."},
                                   {".moe.mlp.", ".mlp.experts."},
                                   {".moe.experts.", ".mlp.experts."},
                                   {".fc1.", ".up_proj."},
                                   {".fc2.", ".down_proj."}};
constexpr std::string_view kNames[] = {"phixtral", "phi-msft"};

}  // namespace

// Phixtral, experts made of Phi 2s; as mlx-lm 0.32.2 models/phixtral.py, which takes the exact GELU whatever is told. Attention
// and experts beside each other after one norm, biases everywhere.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_parallel,
                           .config_keys = kKeys,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::phixtral
