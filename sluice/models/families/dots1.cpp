#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::dots1 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.renormalize = true});
  for (const char* told : {"topk_method", "moe_layer_freq"}) s.ignore({told, ""});
  each_moe(c, [](nn::MoeConfig& moe) {
    moe.router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
  });
  return c;
}

constexpr TensorName kTensors[] = {{".mlp.shared_experts.", ".mlp.shared_expert."}};
constexpr TensorName kGgufTensors[] = {{"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}};
constexpr std::string_view kNames[] = {"dots1"};

}  // namespace

// dots.llm1, arXiv:2506.05767; as mlx-lm 0.32.2 models/dots1.py. Qwen3's attention; DeepSeek-V3's choice of experts.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::dots1
