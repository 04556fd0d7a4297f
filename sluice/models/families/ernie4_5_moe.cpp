#include <algorithm>
#include <limits>

#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::ernie4_5_moe {
namespace {

/// The least or greatest where the file has one for text and one for images.
int64_t one_of(const Source& s, const Key& key, int64_t otherwise, bool greatest) {
  if (!s.is_array(key)) return s.integer(key).value_or(otherwise);
  const std::vector<double> both = s.numbers(key).value_or(std::vector<double>{});
  if (both.empty()) return otherwise;
  const auto [least, most] = std::ranges::minmax(both);
  return static_cast<int64_t>(greatest ? most : least);
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  const int64_t first =
      one_of(s, {"moe_layer_start_index", "%.leading_dense_block_count"}, 0, false);
  const int64_t last =
      one_of(s, {"moe_layer_end_index", ""}, std::numeric_limits<int64_t>::max(), true);
  const int64_t interval = std::max<int64_t>(
      1, s.integer({"moe_layer_interval", "%.interleave_moe_layer_step"}).value_or(1));
  const auto is_sparse = [&](int64_t i) {
    return i >= first && i <= last && (i + 1) % interval == 0;
  };
  nn::Config c =
      read_decoder(s, w, {.renormalize = true, .interleaved = true, .is_sparse = is_sparse});
  const std::string scores = s.string({"moe_gate_act", ""}).value_or("softmax");
  each_moe(c, [&](nn::MoeConfig& moe) {
    moe.router.renormalize = true;
    if (scores == "sigmoid") moe.router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
  });
  return c;
}

constexpr KeyName kKeys[] = {{"moe_num_experts", "num_experts"},
                             {"moe_k", "num_experts_per_tok"},
                             {"moe_num_shared_experts", "n_shared_experts"}};
constexpr TensorName kTensors[] = {
    {".mlp.shared_experts.", ".mlp.shared_expert."},
    {".mlp.moe_statics.e_score_correction_bias", ".mlp.gate.e_score_correction_bias"}};
constexpr TensorName kGgufTensors[] = {{"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}};
constexpr std::string_view kDrafting[] = {"model.mtp_"};
constexpr std::string_view kNames[] = {"ernie4_5_moe", "ernie4_5-moe"};

}  // namespace

// ERNIE 4.5 with experts; as mlx-lm 0.32.2 models/ernie4_5_moe.py, and with the bias of their choice, which it leaves out and
// transformers has. Interleaved RoPE, ungated shared experts.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .config_keys = kKeys,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors,
                           .drafting = kDrafting};

}  // namespace sluice::models::families::ernie4_5_moe
