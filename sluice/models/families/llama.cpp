#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {
namespace {

nn::Config read_llama(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w);
  if (s.is_gguf()) {  // ggml's converter permutes q and k for interleaved pairs
    for (auto& layer : c.layers) layer.rope.interleaved = true;
    c.router.scoring = ops::RouterSpec::Scoring::top_k_then_softmax;
  }
  return c;
}

nn::Config read_mistral(const Source& s, nn::WeightTable& w) {
  return read_decoder(s, w, {.n_kv_heads = 8, .sliding_window = 4096, .slides = every_layer});
}

}  // namespace

// Llama, arXiv:2302.13971; as mlx-lm 0.32.2 models/llama.py. A GGUF of Mistral or Mixtral says
// "llama" too.
extern const Family llama{.read = read_llama, .make = make_pre_norm};
// Mistral, arXiv:2310.06825: the same with a sliding window, where it is not null.
extern const Family mistral{.read = read_mistral, .make = make_pre_norm};

}  // namespace sluice::models
