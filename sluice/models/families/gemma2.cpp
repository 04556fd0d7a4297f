#include <cmath>

#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {
namespace {

void configure(nn::Config& c, const Source& source) {
  c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  c.norm_weight_offset = source.is_gguf() ? 0.0F : 1.0F;  // ggml's converter adds the 1
  c.activation = kernels::Activation::gelu_tanh;
  if (source.is_gguf() && c.n_layers == 46) {  // 27B: the file does not say
    c.attention_scale =
        1.0F / std::sqrt(static_cast<float>(c.hidden_size) / static_cast<float>(c.n_heads));
  }
}

constexpr GgufName kNames[] = {{"ffn_norm", "pre_feedforward_layernorm"}};

}  // namespace

// Gemma 2, arXiv:2408.00118; as mlx-lm 0.32.2 models/gemma2.py, with the sliding window it lacks.
extern const Family gemma2{
    .configure = configure, .make = make_decoder<SandwichNormLayer>, .gguf_names = kNames};

}  // namespace sluice::models
