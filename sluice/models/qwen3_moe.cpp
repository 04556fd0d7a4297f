#include "sluice/models/family.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/moe.h"

namespace sluice::models {
namespace {

struct Layer {              // Qwen3-MoE, arXiv:2505.09388; as mlx-lm 0.32.2 models/qwen3_moe.py
  nn::Attention attention;  // q_norm and k_norm over each head, before RoPE
  nn::FeedForward feed_forward;  // mlp_only_layers are dense

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i)
      : attention(c, w["self_attn"], {.pre = nn::RmsNorm(w["input_layernorm"], c), .post = {}}, i),
        feed_forward(c, w["mlp"],
                     {.pre = nn::RmsNorm(w["post_attention_layernorm"], c), .post = {}}, i) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return feed_forward(attention(x, step), step);
  }
};

void configure(nn::Config& c, const Source& source) {
  if (source.is_gguf())
    c.router.renormalize = true;  // every published Qwen3-MoE; the file does not say
}

}  // namespace

extern const Family qwen3_moe{
    .configure = configure, .make = make_decoder<Layer>, .gguf_names = {}};

}  // namespace sluice::models
