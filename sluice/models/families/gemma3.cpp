#include <bit>
#include <cmath>

#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {
namespace {

/// The nearest bfloat16, ties to even.
float to_bfloat16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7FFFU + ((bits >> 16) & 1U)) & 0xFFFF0000U);
}

void configure(nn::Config& c, const Source& source) {
  const float scale = std::sqrt(static_cast<float>(c.hidden_size));
  c.embedding_scale =
      source.is_gguf()
          ? scale
          : to_bfloat16(scale);  // transformers and mlx-lm round it, llama.cpp does not
  c.norm_weight_offset = source.is_gguf() ? 0.0F : 1.0F;  // ggml's converter adds the 1
  c.activation = kernels::Activation::gelu_tanh;
  if (source.is_gguf() && c.n_layers == 62) {  // 27B: the file does not say
    c.attention_scale =
        1.0F / std::sqrt(static_cast<float>(c.hidden_size) / static_cast<float>(c.n_heads));
  }
}

constexpr GgufName kNames[] = {{"ffn_norm", "pre_feedforward_layernorm"}};

}  // namespace

// Gemma 3, arXiv:2503.19786; as mlx-lm 0.32.2 models/gemma3_text.py. q_norm and k_norm over each head; two
// RoPE bases.
extern const Family gemma3{
    .configure = configure, .make = make_decoder<SandwichNormLayer>, .gguf_names = kNames};

}  // namespace sluice::models
