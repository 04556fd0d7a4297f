#include "sluice/models/family.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/moe.h"

namespace sluice::models {
namespace {

struct Layer {                   // OLMoE, arXiv:2409.02060; as mlx-lm 0.32.2 models/olmoe.py
  nn::Attention attention;       // q_norm and k_norm over the whole projection
  nn::FeedForward feed_forward;  // every layer is sparse

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i)
      : attention(c, w["self_attn"], {.pre = nn::RmsNorm(w["input_layernorm"], c), .post = {}}, i),
        feed_forward(c, w["mlp"],
                     {.pre = nn::RmsNorm(w["post_attention_layernorm"], c), .post = {}}, i) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return feed_forward(attention(x, step), step);
  }
};

}  // namespace

extern const Family olmoe{.configure = nullptr, .make = make_decoder<Layer>, .gguf_names = {}};

}  // namespace sluice::models
