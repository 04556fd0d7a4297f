#include "sluice/models/family.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/moe.h"

namespace sluice::models {
namespace {

struct
    Layer {  // Llama, arXiv:2302.13971, and Mistral, arXiv:2310.06825; as mlx-lm 0.32.2 models/llama.py
  nn::Attention attention;
  nn::FeedForward feed_forward;  // sparse in a Mixtral GGUF, whose architecture is "llama" too

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i)
      : attention(c, w["self_attn"], {.pre = nn::RmsNorm(w["input_layernorm"], c), .post = {}}, i),
        feed_forward(c, w["mlp"],
                     {.pre = nn::RmsNorm(w["post_attention_layernorm"], c), .post = {}}, i) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return feed_forward(attention(x, step), step);
  }
};

void configure(nn::Config& c, const Source& source) {
  if (source.is_gguf()) {  // ggml's converter permutes q and k for interleaved pairs
    for (auto& layer : c.layers) layer.rope.interleaved = true;
    c.router.scoring = ops::RouterSpec::Scoring::top_k_then_softmax;
  }
}

}  // namespace

extern const Family llama{.configure = configure, .make = make_decoder<Layer>, .gguf_names = {}};

}  // namespace sluice::models
