#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::mellum {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w);
  for (nn::LayerConfig& layer : c.layers) {
    nn::AttentionConfig& a = *layer.attention();
    if (const char* own = "sliding_attention"; a.sliding_window > 0 && has_own_rope(s, own))
      a.rope = read_rope(s, w, c, a.head_dim, {}, own);
  }
  return c;
}

constexpr std::string_view kNames[] = {"mellum"};

}  // namespace

// Mellum 2; as mlx-lm 0.32.2 models/mellum.py. Qwen3-MoE with windows, and a RoPE of each kind of layers' own.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::mellum
