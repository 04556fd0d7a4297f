#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::exaone_moe {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  const auto sparse = s.numbers({"is_moe_layer", ""}).value_or(std::vector<double>{});
  Defaults defaults{.renormalize = true, .rope_theta = 1e6};
  if (!s.is_gguf()) {
    defaults.is_sparse = [&](int64_t i) {
      return static_cast<size_t>(i) < sparse.size() && sparse[static_cast<size_t>(i)] != 0;
    };
  }
  nn::Config c = read_decoder(s, w, defaults);
  for (const char* told : {"topk_method", "first_k_dense_replace", "num_nextn_predict_layers"})
    s.ignore({told, ""});
  each_moe(c, [&](nn::MoeConfig& moe) {
    moe.router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
    moe.router.least_sum = 1e-20F;
    if (!s.has("routed_scaling_factor") && !s.is_gguf()) moe.router.weight_scale = 2.5F;
  });
  rotate_where_sliding(c);
  return c;
}

constexpr KeyName kKeys[] = {{"num_shared_experts", "n_shared_experts"}};
constexpr TensorName kTensors[] = {
    {".mlp.shared_experts.", ".mlp.shared_expert."},
    {".mlp.e_score_correction_bias", ".mlp.gate.e_score_correction_bias"}};
constexpr TensorName kGgufTensors[] = {{"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}};
constexpr std::string_view kDrafting[] = {"mtp."};
constexpr std::string_view kNames[] = {"exaone_moe", "exaone-moe"};

}  // namespace

// K-EXAONE; as mlx-lm 0.32.2 models/exaone_moe.py. EXAONE 4's alternation of layers with a window, which rotate, and without;
// norms before the blocks; DeepSeek-V3's choice of experts.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .config_keys = kKeys,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors,
                           .drafting = kDrafting};

}  // namespace sluice::models::families::exaone_moe
