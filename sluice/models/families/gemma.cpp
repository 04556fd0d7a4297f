#include <cmath>

#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::gemma {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.n_heads = 16, .n_kv_heads = 16, .head_dim = 256});
  c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  c.norm_weight_offset = s.is_gguf() ? 0.0F : 1.0F;  // ggml's converter adds the 1
  for (nn::LayerConfig& layer : c.layers) {
    kernels::Activation& activation = layer.mlp().activation;
    if (s.is_gguf()) {
      activation = kernels::Activation::gelu_tanh;
    } else if (activation == kernels::Activation::silu) {
      activation = kernels::Activation::gelu;  // no key: mlx-lm uses the exact GELU
    }
  }
  return c;
}

constexpr std::string_view kNames[] = {"gemma"};

}  // namespace

// Gemma, arXiv:2403.08295; as mlx-lm 0.32.2 models/gemma.py.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::gemma
