#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {
namespace {

void configure(nn::Config& c, const Source& source) {
  const std::vector<bool> uses_rope = rope_layers(source, c.n_layers);
  for (size_t i = 0; i < c.layers.size(); ++i) {
    c.layers[i].rope.interleaved =
        source.is_gguf();  // ggml's converter permutes q and k for interleaved pairs
    if (!uses_rope[i]) c.layers[i].rope = {.kind = nn::RopeConfig::Kind::none};
  }
}

}  // namespace

// SmolLM3; as mlx-lm 0.32.2 models/smollm3.py. Llama with no RoPE in some layers (arXiv:2305.19466).
extern const Family smollm3{
    .configure = configure, .make = make_decoder<PreNormLayer>, .gguf_names = {}};

}  // namespace sluice::models
