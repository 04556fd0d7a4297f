#include <algorithm>
#include <variant>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/mamba2.h"
#include "sluice/nn/moe.h"

namespace sluice::models::families::nemotron_h {
namespace {

// Longer than a family should be: four kinds of layers, which one format names in a string and the other by widths.

/// One norm and one block: attention, Mamba-2, or a feed-forward block, dense or sparse.
struct Layer {
  std::variant<nn::Attention, nn::Mamba2, nn::FeedForward> block;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : block(make(c, w["mixer"], {.pre = nn::norm(w["norm"], c), .post = {}}, i, demands)) {}

  static decltype(block) make(const nn::Config& c, const nn::Weights& w, nn::BlockNorms norms,
                              int64_t i, nn::Demands& demands) {
    const nn::LayerConfig& layer = c.layers[static_cast<size_t>(i)];
    if (layer.attention() != nullptr)
      return nn::Attention(c, *layer.attention(), w, std::move(norms), demands);
    if (const auto* const mamba = std::get_if<nn::Mamba2Config>(&layer.mixer))
      return nn::Mamba2(c, *mamba, w, std::move(norms), demands);
    return nn::FeedForward(c, layer, w, std::move(norms), i, demands);
  }

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return std::visit([&](const auto& part) { return part(x, step); }, block);
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer>(std::move(config), weights);
}

/// Of a GGUF: an attention layer has heads for keys, a feed-forward one a width, a Mamba layer neither; a sparse one has
/// a router.
std::string pattern_of_gguf(const Source& s, const nn::WeightTable& w, int64_t n_layers) {
  const auto kv_heads = s.integers_of_layers({"", "%.attention.head_count_kv"}, n_layers, 0);
  const auto widths = s.integers_of_layers({"", "%.feed_forward_length"}, n_layers, 0);
  std::string pattern;
  for (size_t i = 0; i < kv_heads.size(); ++i) {
    const bool sparse = w.find(fmt::format("model.layers.{}.mixer.gate.weight", i)) != nullptr;
    pattern += kv_heads[i] > 0 ? '*' : widths[i] == 0 ? 'M' : sparse ? 'E' : '-';
  }
  return pattern;
}

/// M: Mamba-2, *: attention, -: dense, E: sparse; one a layer.
std::string read_pattern(const Source& s, const nn::WeightTable& w) {
  if (s.is_gguf()) {
    const int64_t n = s.required_integer({"", "%.block_count"});
    constexpr int64_t kMostLayers = 4096;
    return pattern_of_gguf(s, w, std::min(n, kMostLayers));
  }
  std::string pattern = s.string({"hybrid_override_pattern", ""}).value_or("");
  auto types = s.strings({"layers_block_type", ""});
  if (!types) types = s.strings({"layer_types", ""});
  for (size_t i = 0; pattern.empty() && types && i < types->size(); ++i) {
    const std::string& type = (*types)[i];
    pattern += type == "full_attention" || type == "attention"                   ? '*'
               : type == "mlp"                                                   ? '-'
               : type == "moe"                                                   ? 'E'
               : type == "linear_attention" || type == "mamba" || type == "conv" ? 'M'
                                                                                 : '?';
    if (types->size() == pattern.size()) break;
  }
  if (pattern.empty() || pattern.find_first_not_of("M*-E") != std::string::npos)
    fail(ErrorKind::unsupported,
         "{}: hybrid_override_pattern is '{}', wanted one of M, *, - and E a layer", s.where(),
         pattern);
  return pattern;
}

constexpr Mamba2Keys kMambaKeys{"mamba_num_heads", "mamba_head_dim", "ssm_state_size", "n_groups",
                                "conv_kernel"};

nn::Config read(const Source& s, nn::WeightTable& w) {
  const std::string pattern = read_pattern(s, w);
  nn::Config c = read_decoder(s, w,
                              {.norm_eps_key = "layer_norm_epsilon",
                               .renormalize = true,
                               .n_layers = std::ssize(pattern),
                               .any_widths = true,
                               .any_layers = true});
  const auto kv_heads = s.integers_of_layers({"", "%.attention.head_count_kv"}, c.n_layers, 0);
  const auto widths =
      s.integers_of_layers({"intermediate_size", "%.feed_forward_length"}, c.n_layers, 0);
  s.ignore({"", "%.attention.layer_norm_epsilon"});
  s.ignore({"", "%.rope.dimension_count"});
  const nn::Mamba2Config mamba = read_mamba2(s, kMambaKeys);
  const auto shared =
      s.integer({"moe_shared_expert_intermediate_size", "%.expert_shared_feed_forward_length"});
  const int64_t latent = s.integer({"moe_latent_size", "%.moe_latent_size"}).value_or(0);
  if (latent < 0 || latent > c.hidden_size)
    fail(ErrorKind::bad_model, "{}: moe_latent_size is {}, wanted 0 to {}", s.where(), latent,
         c.hidden_size);
  for (const char* told :
       {"mlp_hidden_act", "rope_theta", "partial_rotary_factor", "num_nextn_predict_layers",
        "mtp_hybrid_override_pattern", "mtp_layers_block_type", "sliding_window"})
    s.ignore({told, ""});
  for (size_t i = 0; i < c.layers.size(); ++i) {
    nn::LayerConfig& layer = c.layers[i];
    nn::MoeConfig moe = layer.moe() != nullptr ? *layer.moe() : nn::MoeConfig{};
    nn::MlpConfig dense{.intermediate_size = widths[i]};
    dense.activation = kernels::Activation::relu_squared;
    dense.is_gated = false;
    layer.attention()->rope = {.kind = nn::RopeConfig::Kind::none};
    if (s.is_gguf() && kv_heads[i] > 0) layer.attention()->n_kv_heads = kv_heads[i];
    if (layer.attention()->n_heads % layer.attention()->n_kv_heads != 0)
      fail(ErrorKind::bad_model, "{}: {} heads, {} for keys", s.where(), layer.attention()->n_heads,
           layer.attention()->n_kv_heads);
    if (pattern[i] == 'M') layer.mixer = mamba;
    if (pattern[i] == '-' || pattern[i] == 'E') layer.mixer = nn::NoMixer{};
    layer.feed_forward = dense;
    if (pattern[i] != 'E') continue;
    if (moe.n_experts == 0)
      fail(ErrorKind::bad_model, "{}: layer {} is sparse, there are no experts", s.where(), i);
    moe.expert.activation = dense.activation;
    moe.expert.is_gated = false;
    moe.latent_size = latent;
    moe.shared_intermediate_size = shared.value_or(moe.shared_intermediate_size);
    moe.router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
    moe.router.least_sum = 1e-20F;
    layer.feed_forward = moe;
  }
  return c;
}

constexpr TensorName kTensors[] = {{"backbone.", "model."},
                                   {"model.embeddings.", "model.embed_tokens."},
                                   {"model.norm_f.", "model.norm."},
                                   {".mixer.shared_experts.", ".mixer.shared_expert."},
                                   {".experts.fc1.", ".experts.up_proj."},
                                   {".experts.fc2.", ".experts.down_proj."}};
constexpr TensorName kGgufTensors[] = {
    {"attn_norm", "norm"},
    {"attn_q", "mixer.q_proj"},
    {"attn_k", "mixer.k_proj"},
    {"attn_v", "mixer.v_proj"},
    {"attn_output", "mixer.o_proj"},
    {"ssm_in", "mixer.in_proj"},
    {"ssm_conv1d", "mixer.conv1d"},
    {"ssm_dt.bias", "mixer.dt_bias"},
    {"ssm_a", "mixer.A"},
    {"ssm_d", "mixer.D"},
    {"ssm_norm", "mixer.norm"},
    {"ssm_out", "mixer.out_proj"},
    {"ffn_up", "mixer.up_proj"},
    {"ffn_down", "mixer.down_proj"},
    {"ffn_gate_inp", "mixer.gate"},
    {"exp_probs_b.bias", "mixer.gate.e_score_correction_bias"},
    {"ffn_up_exps", "mixer.experts.up_proj"},
    {"ffn_down_exps", "mixer.experts.down_proj"},
    {"ffn_latent_down", "mixer.fc1_latent_proj"},
    {"ffn_latent_up", "mixer.fc2_latent_proj"},
    {"ffn_up_shexp", "mixer.shared_expert.up_proj"},
    {"ffn_down_shexp", "mixer.shared_expert.down_proj"},
};
constexpr std::string_view kDrafting[] = {"mtp."};
constexpr std::string_view kNames[] = {"nemotron_h", "nemotron_h_moe"};

}  // namespace

// Nemotron-H, arXiv:2504.03624, Nemotron 3 Nano and Super, whose experts get less than a row; as mlx-lm 0.32.2 models/nemotron_h.py. One block a layer: Mamba-2,
// attention without positions, or a feed-forward block without a gate, dense or sparse. Layers that draft are left out.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors,
                           .drafting = kDrafting};

}  // namespace sluice::models::families::nemotron_h
