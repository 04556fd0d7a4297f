#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {
namespace {

void configure(nn::Config& c, const Source&) {
  c.activation = kernels::Activation::swiglu_clipped;
  c.activation_limit = 7.0F;
  c.router.scoring = ops::RouterSpec::Scoring::top_k_then_softmax;
}

}  // namespace

// gpt-oss, arXiv:2508.10925; as mlx-lm 0.32.2 models/gpt_oss.py. A learned sink per head, biases everywhere,
// every second layer with a sliding window, every layer sparse, clipped SwiGLU.
extern const Family gpt_oss{
    .configure = configure, .make = make_decoder<PreNormLayer>, .gguf_names = {}};

}  // namespace sluice::models
