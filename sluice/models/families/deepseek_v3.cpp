#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::deepseek_v3 {
namespace {

/// DeepSeek-V3.2's and GLM-5's indexer, which chooses the keys that a token attends.
void read_index(nn::Config& c, const Source& s) {
  const auto k = s.integer({"index_topk", "%.attention.indexer.top_k"});
  if (!k) return;
  nn::IndexConfig index;
  index.k = *k;
  index.n_heads = s.required_integer({"index_n_heads", "%.attention.indexer.head_count"});
  index.head_dim = s.required_integer({"index_head_dim", "%.attention.indexer.key_length"});
  index.summed = true;
  const bool of_glm = s.architecture() == "glm_moe_dsa" || s.architecture() == "glm-dsa";
  const bool pairs = s.boolean({"indexer_rope_interleave", ""}).value_or(of_glm);
  for (nn::LayerConfig& layer : c.layers) {
    auto& a = std::get<nn::LatentAttentionConfig>(layer.mixer);
    if (index.k < 1 || index.n_heads < 1 || index.head_dim < a.rope_dim ||
        index.head_dim > kMaxHeadDim || a.q_lora_rank < 1) {
      fail(ErrorKind::bad_model, "{}: an indexer of {} heads of {} that chooses {} keys", s.where(),
           index.n_heads, index.head_dim, index.k);
    }
    a.index = index;
    a.index.rope = a.rope;
    a.index.rope.interleaved = pairs;
  }
}

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
  read_index(c, s);
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
constexpr MtpForm kMtp;
constexpr std::string_view kNames[] = {
    "deepseek_v3", "kimi_k2",      "kimi_k25",    "kimi_vl",    "joyai_llm_flash", "glm4_moe_lite",
    "deepseek2",   "deepseek_v32", "glm_moe_dsa", "deepseek32", "glm-dsa"};

}  // namespace

// DeepSeek-V3, arXiv:2412.19437, and V3.2, arXiv:2512.02556, Kimi K2, arXiv:2507.20534, Kimi K2.5 and Kimi-VL, arXiv:2504.07491,
// GLM-4.7-Flash and GLM-5; as mlx-lm 0.32.2 models/deepseek_v3.py, deepseek_v32.py and glm4_moe_lite.py. Latent attention, in V3.2
// and GLM-5 of the keys that an indexer chooses; experts chosen by sigmoids with a bias, in groups; the first layers are dense.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .gguf_names = kLatentTensors,
                           .hf_names = kTensors,
                           .drops_layers_beyond = true,
                           .mtp = &kMtp};

}  // namespace sluice::models::families::deepseek_v3
