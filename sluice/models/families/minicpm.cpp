#include <cmath>

#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.rope_theta = 1e6});
  const double depth = s.number({"scale_depth", ""}).value_or(1);
  const double base = s.number({"dim_model_base", ""}).value_or(0);
  const double embedding = s.number({"scale_emb", "%.embedding_scale"}).value_or(1);
  const auto residual = s.number({"", "%.residual_scale"});
  const auto logits = s.number({"", "%.logit_scale"});
  c.embedding_scale = static_cast<float>(embedding);
  c.residual_scale =
      static_cast<float>(residual.value_or(depth / std::sqrt(static_cast<double>(c.n_layers))));
  const auto width = static_cast<double>(c.hidden_size);
  if (logits) {
    c.logits_scale = static_cast<float>(1 / *logits);
  } else if (base > 0 && !s.is_gguf()) {
    c.logits_scale = static_cast<float>(base / width);
  }
  each_attention(c, [&](nn::AttentionConfig& a) { a.rope.interleaved = s.is_gguf(); });
  return c;
}

constexpr std::string_view kNames[] = {"minicpm"};

}  // namespace

// MiniCPM, arXiv:2404.06395; as mlx-lm 0.32.2 models/minicpm.py. Llama with scaled embeddings, residuals and logits (tied
// ones too, as published; mlx-lm cannot load those).
extern const Family minicpm{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models
