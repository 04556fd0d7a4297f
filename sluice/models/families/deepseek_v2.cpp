#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::deepseek_v2 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  const Defaults defaults{.latent = true};
  nn::Config c = read_decoder(s, w, defaults);
  read_latent_attention(c, s, w, defaults);
  for (nn::LayerConfig& layer : c.layers)  // the reference's own constant
    std::get<nn::LatentAttentionConfig>(layer.mixer).latent_eps = 1e-6F;
  const bool in_groups = s.string({"topk_method", ""}).value_or("") == "group_limited_greedy";
  for (const char* told : {"moe_layer_freq", "ep_size", "seq_aux"}) s.ignore({told, ""});
  each_moe(c, [&](nn::MoeConfig& moe) {
    moe.router.best_of_group = true;
    if (!in_groups) moe.router.n_groups = moe.router.n_groups_used = 1;
  });
  return c;
}

constexpr TensorName kTensors[] = {{".mlp.shared_experts.", ".mlp.shared_expert."}};
constexpr std::string_view kNames[] = {"deepseek_v2"};

}  // namespace

// DeepSeek-V2, Coder-V2 and Lite, arXiv:2405.04434; as mlx-lm 0.32.2 models/deepseek_v2.py, but that latent rows are kept, not
// the keys and values made of them. Experts by softmax, of the groups with the best scores. (Its GGUFs are deepseek_v3's.)
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::deepseek_v2
