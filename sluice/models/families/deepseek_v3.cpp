#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::deepseek_v3 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  const bool of_glm = s.architecture() == "glm4_moe_lite";
  const Defaults defaults{
      .renormalize = !s.is_gguf(), .rope_theta = of_glm ? 1e6 : 1e4, .latent = true};
  nn::Config c = read_decoder(s, w, defaults);
  read_latent_attention(c, s, w, defaults);
  for (nn::LayerConfig& layer : c.layers) {
    // The reference's own constant, whatever the file says of other norms; GLM takes the file's.
    auto& a = std::get<nn::LatentAttentionConfig>(layer.mixer);
    if (!of_glm && !s.is_gguf()) a.latent_eps = 1e-6F;
  }
  for (const char* told : {"topk_method", "moe_layer_freq", "num_nextn_predict_layers", "ep_size"})
    s.ignore({told, ""});
  each_moe(c, [&](nn::MoeConfig& moe) {
    // GLM-4.7-Flash's files do not say how it scores.
    const bool of_glm_file = s.is_gguf() && c.vocab_size == 154880;
    if (!s.is_gguf() || of_glm_file)
      moe.router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
    moe.router.best_of_group =  // DeepSeek-V2
        moe.router.scoring == ops::RouterSpec::Scoring::softmax_then_top_k;
    moe.router.least_sum = of_glm ? 1e-20F : 0.0F;
  });
  return c;
}

constexpr TensorName kTensors[] = {{".mlp.shared_experts.", ".mlp.shared_expert."}};
constexpr std::string_view kNames[] = {"deepseek_v3",     "kimi_k2",       "kimi_k25", "kimi_vl",
                                       "joyai_llm_flash", "glm4_moe_lite", "deepseek2"};

}  // namespace

// DeepSeek-V3, arXiv:2412.19437, Kimi K2, arXiv:2507.20534, Kimi K2.5 and Kimi-VL, arXiv:2504.07491, and GLM-4.7-Flash; as mlx-lm 0.32.2 models/deepseek_v3.py and
// glm4_moe_lite.py. Latent attention; experts chosen by sigmoids with a bias, in groups; the first layers are dense. Layers
// that draft tokens are left out.
extern const Family family{.names = kNames,
                                .read = read,
                                .make = make_pre_norm,
                                .gguf_names = kLatentTensors,
                                .hf_names = kTensors,
                                .drops_layers_beyond = true};

}  // namespace sluice::models::families::deepseek_v3
