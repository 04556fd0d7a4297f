#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::internlm2 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.interleaved = s.is_gguf()});  // whose q and k were permuted
  each_attention(c, [](nn::AttentionConfig& a) { a.qkv_per_group = true; });
  return c;
}

constexpr TensorName kTensors[] = {{"model.tok_embeddings.", "model.embed_tokens."},
                                   {"^output.", "lm_head."},
                                   {".attention.wqkv.", ".self_attn.qkv_proj."},
                                   {".attention.wo.", ".self_attn.o_proj."},
                                   {".attention_norm.", ".input_layernorm."},
                                   {".ffn_norm.", ".post_attention_layernorm."},
                                   {".feed_forward.w1.", ".mlp.gate_proj."},
                                   {".feed_forward.w2.", ".mlp.down_proj."},
                                   {".feed_forward.w3.", ".mlp.up_proj."}};
constexpr std::string_view kNames[] = {"internlm2"};

}  // namespace

// InternLM 2, arXiv:2403.17297; as mlx-lm 0.32.2 models/internlm2.py. Llama with queries, keys and values fused by key head.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::internlm2
