#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::mellum {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  // A GGUF does not say that shares are renormalized, and they are.
  nn::Config c = read_decoder(s, w, {.renormalize = s.is_gguf()});
  for (nn::LayerConfig& layer : c.layers) {
    nn::AttentionConfig& a = *layer.attention();
    if (const char* own = "sliding_attention"; a.sliding_window > 0 && has_own_rope(s, own))
      a.rope = read_rope(s, w, c, a.head_dim, {}, own);
    if (a.sliding_window > 0 && s.is_gguf())
      a.rope = {.dims = a.rope.dims,
                .theta = s.number({"", "%.rope.freq_base_swa"}).value_or(a.rope.theta)};
  }
  return c;
}

constexpr std::string_view kNames[] = {"mellum"};

}  // namespace

// Mellum 2; as mlx-lm 0.32.2 models/mellum.py. Qwen3-MoE with windows, and a RoPE of each kind of layers' own.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::mellum
