#include <fmt/format.h>

#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::qwen3_moe {
namespace {

/// As published Qwen3-VL's experts are [in, out], gate and up side by side in one; transformers 5 has them above each other.
void read_layout(const nn::Config& c, nn::WeightTable& w) {
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const auto* both = w.find(fmt::format("model.layers.{}.mlp.experts.gate_up_proj", i));
    if (both == nullptr || both->shape.size() != 3 || both->shape[1] != c.hidden_size) continue;
    w.is_transposed = [](std::string_view path) { return path.find(".experts.") != path.npos; };
    return;
  }
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_qwen(s, w, {.n_kv_heads = 4, .slides = every_layer});
  // Every published Qwen3-MoE does; the file does not say.
  if (s.is_gguf()) each_moe(c, [](nn::MoeConfig& moe) { moe.router.renormalize = true; });
  read_layout(c, w);
  return c;
}

constexpr std::string_view kNames[] = {"qwen3_moe", "qwen3moe", "qwen3_vl_moe", "qwen3_vl_moe_text",
                                       "qwen3vlmoe"};

}  // namespace

// Qwen3-MoE, arXiv:2505.09388; as mlx-lm 0.32.2 models/qwen3_moe.py. q_norm and k_norm over each
// head, before RoPE; mlp_only_layers are dense.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::qwen3_moe
