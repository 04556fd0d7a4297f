#include "sluice/models/family.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/moe.h"

namespace sluice::models {
namespace {

struct Layer {  // gpt-oss, arXiv:2508.10925; as mlx-lm 0.32.2 models/gpt_oss.py
  nn::Attention
      attention;  // a learned sink per head, biases, every second layer with a sliding window
  nn::SparseMlp experts;  // biases, clipped SwiGLU

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i)
      : attention(c, w["self_attn"], {.pre = nn::RmsNorm(w["input_layernorm"], c), .post = {}}, i),
        experts(c, w["mlp"], {.pre = nn::RmsNorm(w["post_attention_layernorm"], c), .post = {}}) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return experts(attention(x, step), step);
  }
};

void configure(nn::Config& c, const Source&) {
  c.activation = kernels::Activation::swiglu_clipped;
  c.activation_limit = 7.0F;
  c.router.scoring = ops::RouterSpec::Scoring::top_k_then_softmax;
}

}  // namespace

extern const Family gpt_oss{.configure = configure, .make = make_decoder<Layer>, .gguf_names = {}};

}  // namespace sluice::models
