#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {
namespace {

void configure(nn::Config& c, const Source& source) {
  if (source.is_gguf())
    c.router.renormalize = true;  // every published Qwen3-MoE; the file does not say
}

}  // namespace

// Qwen3-MoE, arXiv:2505.09388; as mlx-lm 0.32.2 models/qwen3_moe.py. q_norm and k_norm over each head,
// before RoPE; mlp_only_layers are dense.
extern const Family qwen3_moe{
    .configure = configure, .make = make_decoder<PreNormLayer>, .gguf_names = {}};

}  // namespace sluice::models
