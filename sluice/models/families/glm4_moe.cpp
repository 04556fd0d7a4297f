#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::glm4_moe {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.renormalize = true, .rotary_share = 0.5});
  for (const char* told : {"topk_method", "use_qk_norm", "num_nextn_predict_layers"})
    s.ignore({told, ""});  // the files tell
  each_moe(c, [](nn::MoeConfig& moe) {
    moe.router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
  });
  return c;
}

constexpr TensorName kTensors[] = {{".mlp.shared_experts.", ".mlp.shared_expert."}};
constexpr TensorName kGgufTensors[] = {{"post_attention_norm", "post_attention_layernorm"},
                                       {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}};
constexpr MtpForm kMtp{.hands_on_normed = true};
constexpr std::string_view kNames[] = {"glm4_moe", "solar_open", "glm4moe"};

}  // namespace

// GLM-4.5 and 4.6, arXiv:2508.06471, and Solar Open; as mlx-lm 0.32.2 models/glm4_moe.py. The first layers are dense; experts
// are chosen by sigmoids with a bias, in groups; a shared expert without a gate.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors,
                           .drops_layers_beyond = true,
                           .mtp = &kMtp};

}  // namespace sluice::models::families::glm4_moe
