#include "sluice/models/family.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/moe.h"

namespace sluice::models {
namespace {

struct Layer {  // Mixtral, arXiv:2401.04088; as mlx-lm 0.32.2 models/mixtral.py
  nn::Attention attention;
  nn::SparseMlp experts;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i)
      : attention(c, w["self_attn"], {.pre = nn::RmsNorm(w["input_layernorm"], c), .post = {}}, i),
        experts(c, w["mlp"], {.pre = nn::RmsNorm(w["post_attention_layernorm"], c), .post = {}}) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return experts(attention(x, step), step);
  }
};

void configure(nn::Config& c, const Source&) {
  c.router.scoring = ops::RouterSpec::Scoring::top_k_then_softmax;
}

}  // namespace

extern const Family mixtral{.configure = configure, .make = make_decoder<Layer>, .gguf_names = {}};

}  // namespace sluice::models
