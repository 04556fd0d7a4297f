#include <cmath>

#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {
namespace {

void configure(nn::Config& c, const Source& source) {
  c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  c.norm_weight_offset = source.is_gguf() ? 0.0F : 1.0F;  // ggml's converter adds the 1
  if (source.is_gguf()) c.activation = kernels::Activation::gelu_tanh;
  // A config.json without an activation: mlx-lm uses the exact GELU.
  if (!source.is_gguf() && c.activation == kernels::Activation::silu)
    c.activation = kernels::Activation::gelu;
}

}  // namespace

// Gemma, arXiv:2403.08295; as mlx-lm 0.32.2 models/gemma.py.
extern const Family gemma{
    .configure = configure, .make = make_decoder<PreNormLayer>, .gguf_names = {}};

}  // namespace sluice::models
