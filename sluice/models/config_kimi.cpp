// What Kimi Linear and Kimi K3 share.
#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/models/config.h"

namespace sluice::models {
namespace {

/// Which layers are Kimi delta attention; the others are latent attention.
std::vector<bool> linear_layers(const Source& s, int64_t n_layers) {
  if (s.is_gguf()) return layers_without_keys(s, n_layers);
  std::vector<bool> linear(static_cast<size_t>(n_layers));
  const auto listed = s.numbers({"linear_attn_config/kda_layers", ""});
  s.ignore({"linear_attn_config/full_attn_layers", ""});
  if (!listed)
    fail(ErrorKind::bad_model, "{}: linear_attn_config/kda_layers is missing", s.where());
  for (const double layer : *listed) {  // counted from 1
    if (layer < 1 || layer > static_cast<double>(n_layers))
      fail(ErrorKind::bad_model, "{}: kda_layers has {}, there are {} layers", s.where(), layer,
           n_layers);
    linear[static_cast<size_t>(layer) - 1] = true;
  }
  return linear;
}

nn::GatedDeltaConfig read_delta(const Source& s, int64_t n_heads) {
  nn::GatedDeltaConfig g;
  g.n_key_heads = s.integer({"linear_attn_config/num_heads", ""}).value_or(n_heads);
  g.n_value_heads = g.n_key_heads;
  g.key_dim = s.required_integer({"linear_attn_config/head_dim", "%.kda.head_dim"});
  g.value_dim = g.key_dim;
  g.n_taps =
      s.integer({"linear_attn_config/short_conv_kernel_size", "%.ssm.conv_kernel"}).value_or(4);
  g.by_channel = true;
  g.gate = kernels::Activation::sigmoid;
  g.least_log_decay = static_cast<float>(
      s.number({"linear_attn_config/gate_lower_bound", "%.kda.gate_lower_bound"}).value_or(0));
  check_state_sizes(s, {g.n_key_heads, g.key_dim, g.n_taps});
  return g;
}

}  // namespace

nn::Config read_kimi(const Source& s, nn::WeightTable& w, std::string_view own_activation) {
  for (const auto& [ours, theirs] : {std::pair{"num_experts_per_tok", "num_experts_per_token"},
                                     {"norm_topk_prob", "moe_renormalize"},
                                     {"n_group", "num_expert_group"},
                                     {"n_shared_experts", "num_shared_experts"},
                                     {"scoring_func", "moe_router_activation_func"},
                                     {"max_position_embeddings", "model_max_length"}})
    s.also(ours, theirs);
  const Defaults defaults{
      .rms_norm_eps = 1e-5, .own_activation = own_activation, .renormalize = true, .latent = true};
  nn::Config c = read_decoder(s, w, defaults);
  read_latent_attention(c, s, w, defaults);
  for (const char* told : {"mla_use_nope", "use_grouped_topk", "moe_layer_freq",
                           "num_nextn_predict_layers", "rope_theta", "linear_attn_config"})
    s.ignore({told, ""});
  const std::vector<bool> linear = linear_layers(s, c.n_layers);
  for (size_t i = 0; i < linear.size(); ++i) {
    auto& a = std::get<nn::LatentAttentionConfig>(c.layers[i].mixer);
    a.rope = {.kind = nn::RopeConfig::Kind::none};
    if (linear[i]) c.layers[i].mixer = read_delta(s, a.n_heads);
  }
  each_moe(c, [&](nn::MoeConfig& moe) {
    if (!s.is_gguf() && !s.has("scoring_func"))
      moe.router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
    moe.router.least_sum = 1e-20F;
  });
  return c;
}

}  // namespace sluice::models
