#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::klear {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.renormalize = true});
  each_moe(c, [](nn::MoeConfig& moe) {
    moe.router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
  });
  return c;
}

constexpr TensorName kTensors[] = {{".mlp.shared_experts.", ".mlp.shared_expert."},
                                   {".mlp.expert_bias", ".mlp.gate.e_score_correction_bias"}};
constexpr std::string_view kNames[] = {"Klear"};

}  // namespace

// Klear 46B-A2.5B; as mlx-lm 0.32.2 models/Klear.py. Qwen3's attention; experts by sigmoids with a bias; routed and shared
// experts each have a share, which the token decides.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::klear
