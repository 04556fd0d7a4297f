#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::gpt_neox {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-5,
                               .norm_eps_key = "layer_norm_eps",
                               .activation = "gelu",
                               .gated_mlp = false,
                               .centered_norms = true,
                               .rope_theta = 1e4});
  if (!s.boolean({"use_parallel_residual", "%.use_parallel_residual"}).value_or(true))
    fail(ErrorKind::unsupported, "{}: use_parallel_residual is false, which is not supported",
         s.where());
  const double share = s.number({"rotary_pct", ""}).value_or(0.25);
  const double base = s.number({"rotary_emb_base", ""}).value_or(1e4);
  if (s.is_gguf()) return c;  // whose rows of all queries come before those of all keys
  each_attention(c, [&](nn::AttentionConfig& a) {
    a.qkv_per_group = true;
    a.rope.dims = static_cast<int64_t>(share * static_cast<double>(a.head_dim));
    a.rope.theta = base;
  });
  return c;
}

constexpr TensorName kTensors[] = {{"gpt_neox.", "model."},
                                   {"model.h.", "model.layers."},
                                   {"model.embed_in.", "model.embed_tokens."},
                                   {"model.final_layer_norm.", "model.norm."},
                                   {"model.embed_out.", "lm_head."},
                                   {"embed_out.", "lm_head."},
                                   {".attention.query_key_value.", ".self_attn.qkv_proj."},
                                   {".attention.dense.", ".self_attn.o_proj."},
                                   {".mlp.dense_h_to_4h.", ".mlp.up_proj."},
                                   {".mlp.dense_4h_to_h.", ".mlp.down_proj."}};
constexpr std::string_view kNames[] = {"gpt_neox", "gptneox"};

}  // namespace

// GPT-NeoX and Pythia, arXiv:2304.01373; as mlx-lm 0.32.2 models/gpt_neox.py, but for the activation, which is config.json's.
// Both blocks beside each other, each after a norm of its own; queries, keys and values fused per head; partial RoPE.
extern const Family family{
    .names = kNames, .read = read, .make = make_parallel, .hf_names = kTensors};

}  // namespace sluice::models::families::gpt_neox
