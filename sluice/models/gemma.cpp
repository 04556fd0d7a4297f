#include <cmath>

#include "sluice/models/family.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/mlp.h"

namespace sluice::models {
namespace {

struct Layer {  // Gemma, arXiv:2403.08295; as mlx-lm 0.32.2 models/gemma.py
  nn::Attention attention;
  nn::GatedMlp mlp;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i)
      : attention(c, w["self_attn"], {.pre = nn::RmsNorm(w["input_layernorm"], c), .post = {}}, i),
        mlp(c, w["mlp"], {.pre = nn::RmsNorm(w["post_attention_layernorm"], c), .post = {}}) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return mlp(attention(x, step), step);
  }
};

void configure(nn::Config& c, const Source& source) {
  c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  c.norm_weight_offset = source.is_gguf() ? 0.0F : 1.0F;  // ggml's converter adds the 1
  if (source.is_gguf()) c.activation = kernels::Activation::gelu_tanh;
  // A config.json without an activation: mlx-lm uses the exact GELU.
  if (!source.is_gguf() && c.activation == kernels::Activation::silu)
    c.activation = kernels::Activation::gelu;
}

}  // namespace

extern const Family gemma{.configure = configure, .make = make_decoder<Layer>, .gguf_names = {}};

}  // namespace sluice::models
