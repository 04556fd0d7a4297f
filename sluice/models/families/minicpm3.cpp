#include <cmath>

#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::minicpm3 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  const Defaults defaults{.rope_theta = 1e6, .latent = true};
  nn::Config c = read_decoder(s, w, defaults);
  read_latent_attention(c, s, w, defaults);
  read_minicpm_scales(c, s);
  if (s.is_gguf()) {  // which has no keys for them: the published model's, as llama.cpp takes them
    c.embedding_scale = 12;
    c.residual_scale = 1.4F / std::sqrt(static_cast<float>(c.n_layers));
    c.logits_scale = 256.0F / static_cast<float>(c.hidden_size);
  }
  for (nn::LayerConfig& layer : c.layers) {
    auto& a = std::get<nn::LatentAttentionConfig>(layer.mixer);
    a.rope.interleaved = false;
    if (!s.is_gguf()) a.latent_eps = 1e-5F;  // the reference's own constant
  }
  return c;
}

constexpr std::string_view kNames[] = {"minicpm3"};

}  // namespace

// MiniCPM3, as mlx-lm 0.32.2 models/minicpm3.py: MiniCPM's scales, arXiv:2404.06395, and DeepSeek's latent attention with long
// RoPE.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .gguf_names = kLatentTensors};

}  // namespace sluice::models::families::minicpm3
