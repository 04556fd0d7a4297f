#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {
namespace {

void configure(nn::Config& c, const Source& source) {
  if (source.is_gguf()) {  // ggml's converter permutes q and k for interleaved pairs
    for (auto& layer : c.layers) layer.rope.interleaved = true;
    c.router.scoring = ops::RouterSpec::Scoring::top_k_then_softmax;
  }
}

}  // namespace

// Llama, arXiv:2302.13971, Mistral, arXiv:2310.06825; as mlx-lm 0.32.2 models/llama.py. A Mixtral GGUF says
// "llama" too.
extern const Family llama{
    .configure = configure, .make = make_decoder<PreNormLayer>, .gguf_names = {}};

}  // namespace sluice::models
