#include "sluice/models/family.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/moe.h"

namespace sluice::models {
namespace {

struct Layer {  // Qwen1.5-MoE and Qwen2-MoE, arXiv:2407.10671; as mlx-lm 0.32.2 models/qwen2_moe.py
  nn::Attention attention;       // q, k and v have biases
  nn::FeedForward feed_forward;  // with a shared expert behind a sigmoid gate

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i)
      : attention(c, w["self_attn"], {.pre = nn::RmsNorm(w["input_layernorm"], c), .post = {}}, i),
        feed_forward(c, w["mlp"],
                     {.pre = nn::RmsNorm(w["post_attention_layernorm"], c), .post = {}}, i) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return feed_forward(attention(x, step), step);
  }
};

}  // namespace

extern const Family qwen2_moe{.configure = nullptr, .make = make_decoder<Layer>, .gguf_names = {}};

}  // namespace sluice::models
