#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"
#include "sluice/models/qwen_hybrid.h"

namespace sluice::models::families::qwen3_next {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  return read_qwen_hybrid(s, w, {.renormalize = true, .rope_theta = 1e7});
}

constexpr std::string_view kNames[] = {"qwen3_next", "qwen3next"};

}  // namespace

// Qwen3-Next and Qwen3-Coder-Next: Qwen3.5 with in_proj_qkvz and in_proj_ba fused per key head; as mlx-lm 0.32.2
// models/qwen3_next.py.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .gguf_names = kQwenHybridTensors,
                           .drafting = kQwenDrafting,
                           .mtp = &kQwenMtp};

}  // namespace sluice::models::families::qwen3_next
