#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::minicpm {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.rope_theta = 1e6});
  read_minicpm_scales(c, s);
  each_attention(c, [&](nn::AttentionConfig& a) { a.rope.interleaved = s.is_gguf(); });
  return c;
}

constexpr std::string_view kNames[] = {"minicpm"};

}  // namespace

// MiniCPM, arXiv:2404.06395; as mlx-lm 0.32.2 models/minicpm.py. Llama with scaled embeddings, residuals and logits (tied
// ones too, as published; mlx-lm cannot load those).
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::minicpm
