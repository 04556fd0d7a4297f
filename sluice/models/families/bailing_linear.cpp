#include <algorithm>
#include <cmath>
#include <limits>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::bailing_linear {
namespace {

// Longer than most: three models, one of lightning attention's slopes and one of Kimi delta attention.

/// ALiBi's slopes (Press et al. 2021, arXiv:2108.12409) of a power of two heads.
std::vector<double> power_of_two_slopes(int64_t n) {
  std::vector<double> slopes;
  for (int64_t i = 1; i <= n; ++i)
    slopes.push_back(std::exp2(-8.0 * static_cast<double>(i) / static_cast<double>(n)));
  return slopes;
}

/// Those of any number of heads: between two powers, every second one of the larger power's.
std::vector<double> slopes_of(int64_t n) {
  int64_t power = 1;
  while (2 * power <= n) power *= 2;
  std::vector<double> slopes = power_of_two_slopes(power);
  const std::vector<double> between = power_of_two_slopes(2 * power);
  for (size_t i = 0; std::ssize(slopes) < n; i += 2) slopes.push_back(between[i]);
  return slopes;
}

/// By what a head's state is multiplied for each token, less in later layers.
std::vector<float> decays_of(int64_t n_heads, int64_t n_layers, int64_t place) {
  const auto last = static_cast<double>(std::max<int64_t>(1, n_layers - 1));
  const double share = 1 - static_cast<double>(place) / last + 1e-5;
  std::vector<float> decays;
  for (const double slope : slopes_of(n_heads))
    decays.push_back(static_cast<float>(std::exp(-slope * share)));
  return decays;
}

nn::LightningConfig read_lightning(const Source& s, nn::WeightTable& w, const nn::Config& c,
                                   int64_t n_heads, const Defaults& defaults) {
  nn::LightningConfig a;
  a.n_heads = n_heads;
  a.head_dim = s.integer({"head_dim", ""}).value_or(c.hidden_size / n_heads);
  a.n_norm_groups = s.integer({"group_norm_size", ""}).value_or(1);
  check_state_sizes(s, {a.n_heads, a.head_dim, a.n_norm_groups});
  if (a.n_heads * a.head_dim % a.n_norm_groups != 0)
    fail(ErrorKind::bad_model, "{}: group_norm_size is {}, of {} elements", s.where(),
         a.n_norm_groups, a.n_heads * a.head_dim);
  a.rope = read_rope(s, w, c, a.head_dim, defaults);
  return a;
}

/// Kimi delta attention, which Ling 3 has in place of lightning attention.
nn::GatedDeltaConfig read_delta(const Source& s, const nn::Config& c, int64_t n_heads) {
  nn::GatedDeltaConfig g;
  g.n_key_heads = g.n_value_heads = n_heads;
  g.key_dim = g.value_dim =
      s.integer({"head_dim", "%.kda.head_dim"}).value_or(c.hidden_size / n_heads);
  g.n_taps = s.integer({"short_conv_kernel_size", "%.ssm.conv_kernel"}).value_or(4);
  g.by_channel = true;
  g.gate = kernels::Activation::sigmoid;
  const double bound = s.number({"kda_lower_bound", "%.kda.gate_lower_bound"}).value_or(-5);
  if (s.boolean({"kda_safe_gate", "%.kda.safe_gate"}).value_or(true))
    g.least_log_decay = static_cast<float>(bound);
  s.ignore({"no_kda_lora", ""});  // the files tell
  check_state_sizes(s, {g.n_key_heads, g.key_dim, g.n_taps});
  return g;
}

/// All layers but the last of each group and those beyond the last whole one; a GGUF's have no key heads.
std::vector<bool> linear_layers(const Source& s, int64_t n_layers) {
  if (s.is_gguf()) return layers_without_keys(s, n_layers);
  std::vector<bool> linear;
  const int64_t group = std::max<int64_t>(1, s.required_integer({"layer_group_size", ""}));
  for (int64_t i = 0; i < n_layers; ++i)
    linear.push_back((i + 1) % group != 0 && i < n_layers / group * group);
  return linear;
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  s.also("n_shared_experts", "num_shared_experts");
  s.also("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size");
  const bool latent = s.architecture() != "bailing_moe_linear";
  const bool delta = latent && w.find("model.layers.0.self_attn.b_proj.weight") != nullptr;
  const Defaults defaults{.renormalize = true,
                          .rotary_share = latent ? 0.5 : 1.0,
                          .any_layers = true,
                          .latent = latent};
  nn::Config c = read_decoder(s, w, defaults);
  const int64_t n_heads = c.attention()->n_heads;
  nn::MixerConfig linear;
  if (delta) {
    linear = read_delta(s, c, n_heads);
  } else {
    linear = read_lightning(s, w, c, n_heads, defaults);
  }
  if (latent) read_latent_attention(c, s, w, defaults);
  for (const char* told :
       {"use_qk_norm", "use_qkv_bias", "use_rmsnorm", "moe_router_enable_expert_bias",
        "moe_router_enable_shared_expert", "moe_router_enable_routed_scaling",
        "num_nextn_predict_layers", "norm_softmax", "linear_silu", "linear_attn_norm_type"})
    s.ignore({told, ""});
  const bool pairs = s.boolean({"rope_interleave", ""}).value_or(true);
  if (s.is_gguf())
    s.ignore({"", "%.rope.dimension_sections"});  // text is at the same place in each
  read_clamps(c, s, {"", "%.swiglu_clamp_exp"}, {"", "%.swiglu_clamp_shexp"});
  const std::vector<bool> is_linear = linear_layers(s, c.n_layers);
  for (int64_t i = 0; i < c.n_layers; ++i) {
    nn::LayerConfig& layer = c.layers[static_cast<size_t>(i)];
    if (auto* const a = std::get_if<nn::LatentAttentionConfig>(&layer.mixer)) {
      a->rope.dims = a->rope_dim;
      a->rope.interleaved = pairs;
    }
    if (!is_linear[static_cast<size_t>(i)]) continue;
    if (auto* const lightning = std::get_if<nn::LightningConfig>(&linear))
      lightning->decays = decays_of(n_heads, c.n_layers, latent ? i : std::max<int64_t>(0, i - 1));
    layer.mixer = linear;
  }
  each_moe(c, [&](nn::MoeConfig& moe) {
    moe.router.least_sum = latent ? 1e-20F : 0.0F;
    if (latent) moe.router.other_groups = -std::numeric_limits<float>::infinity();
    if (delta) {
      moe.router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
      moe.router.renormalize = true;
    }
  });
  return c;
}

constexpr TensorName kTensors[] = {{"model.word_embeddings.", "model.embed_tokens."},
                                   {".attention.query_key_value.", ".attention.qkv_proj."},
                                   {".attention.dense.", ".attention.o_proj."},
                                   {".attention.query_layernorm.", ".attention.q_norm."},
                                   {".attention.key_layernorm.", ".attention.k_norm."},
                                   {".attention.", ".self_attn."},
                                   {".mlp.gate.gate_proj.", ".mlp.gate."},
                                   {".mlp.gate.expert_bias", ".mlp.gate.e_score_correction_bias"},
                                   {".mlp.shared_experts.", ".mlp.shared_expert."}};
constexpr std::string_view kNames[] = {"bailing_moe_linear", "bailing_hybrid", "bailingmoe3"};

}  // namespace

// Ring-linear 2.0, arXiv:2510.19338, and Ling 2.5 and 3, whose full layers are latent attention; as mlx-lm 0.32.2
// models/bailing_moe_linear.py, bailing_hybrid.py and bailing_moe_v3.py. Lightning attention in most layers, in Ling 3 Kimi delta
// attention; experts chosen by sigmoids with a bias, in groups, beside a shared one. Layers that draft tokens are left out.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .gguf_names = kDeltaTensors,
                           .hf_names = kTensors,
                           .drops_layers_beyond = true};

}  // namespace sluice::models::families::bailing_linear
