#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::qwen3_moe {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_qwen(s, w, {.n_kv_heads = 4, .slides = every_layer});
  // Every published Qwen3-MoE does; the file does not say.
  if (s.is_gguf()) each_moe(c, [](nn::MoeConfig& moe) { moe.router.renormalize = true; });
  return c;
}

constexpr std::string_view kNames[] = {"qwen3_moe", "qwen3moe", "qwen3_vl_moe", "qwen3_vl_moe_text",
                                       "qwen3vlmoe"};

}  // namespace

// Qwen3-MoE, arXiv:2505.09388; as mlx-lm 0.32.2 models/qwen3_moe.py. q_norm and k_norm over each
// head, before RoPE; mlp_only_layers are dense.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::qwen3_moe
