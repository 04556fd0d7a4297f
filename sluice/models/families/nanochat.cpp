#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::nanochat {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c =
      read_decoder(s, w, {.rms_norm_eps = 1e-5, .activation = "relu2", .gated_mlp = false});
  c.unit_norms = true;
  c.embedding_norm = true;
  c.logits_softcap = 15;
  each_attention(c, [](nn::AttentionConfig& a) {
    a.unit_norms = true;
    a.norm_last = true;
    a.rope.divisors.assign(static_cast<size_t>(a.rope.dims / 2), -1.0);  // it turns backward
  });
  return c;
}

constexpr TensorName kTensors[] = {
    {"^transformer.h.", "model.layers."}, {"^transformer.wte.", "model.embed_tokens."},
    {".attn.c_q.", ".self_attn.q_proj."}, {".attn.c_k.", ".self_attn.k_proj."},
    {".attn.c_v.", ".self_attn.v_proj."}, {".attn.c_proj.", ".self_attn.o_proj."},
    {".mlp.c_fc.", ".mlp.up_proj."},      {".mlp.c_proj.", ".mlp.down_proj."}};
constexpr std::string_view kNames[] = {"nanochat"};

}  // namespace

// nanochat; as mlx-lm 0.32.2 models/nanochat.py. No norm has weights: those of embeddings, blocks, and of queries and keys
// after their rotation, which goes backward; bounded logits.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::nanochat
