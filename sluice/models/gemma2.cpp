#include <cmath>

#include "sluice/models/family.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/mlp.h"

namespace sluice::models {
namespace {

struct
    Layer {  // Gemma 2, arXiv:2408.00118; as mlx-lm 0.32.2 models/gemma2.py, with the sliding window it lacks
  nn::Attention attention;
  nn::GatedMlp mlp;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i)
      : attention(c, w["self_attn"],
                  {.pre = nn::RmsNorm(w["input_layernorm"], c),
                   .post = nn::RmsNorm(w["post_attention_layernorm"], c)},
                  i),
        mlp(c, w["mlp"],
            {.pre = nn::RmsNorm(w["pre_feedforward_layernorm"], c),
             .post = nn::RmsNorm(w["post_feedforward_layernorm"], c)}) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return mlp(attention(x, step), step);
  }
};

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

extern const Family gemma2{
    .configure = configure, .make = make_decoder<Layer>, .gguf_names = kNames};

}  // namespace sluice::models
