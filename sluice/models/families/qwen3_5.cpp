#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"
#include "sluice/models/qwen_hybrid.h"

namespace sluice::models::families::qwen3_5 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_qwen_hybrid(s, w, {.renormalize = true, .rope_theta = 1e5});
  for (nn::LayerConfig& layer : c.layers) {  // ggml's converter sorts value heads otherwise
    if (auto* const linear = std::get_if<nn::GatedDeltaConfig>(&layer.mixer))
      linear->tiled_heads = s.is_gguf();
  }
  return c;
}

constexpr std::string_view kNames[] = {"qwen3_5",          "qwen3_5_text", "qwen3_5_moe",
                                       "qwen3_5_moe_text", "qwen35",       "qwen35moe"};

}  // namespace

// Qwen3.5 and 3.6, dense and sparse: three of four layers are gated delta nets, the fourth attends with gated outputs; as
// mlx-lm 0.32.2 models/qwen3_5.py. The text part.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .gguf_names = kQwenHybridTensors,
                           .drafting = kQwenDrafting,
                           .mtp = &kQwenMtp};

}  // namespace sluice::models::families::qwen3_5
