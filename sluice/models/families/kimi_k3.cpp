#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/gated_delta.h"
#include "sluice/nn/latent_attention.h"
#include "sluice/nn/moe.h"
#include "sluice/ops/streams.h"

namespace sluice::models::families::kimi_k3 {
namespace {

/// The sums of finished blocks of layers, each [T, hidden_size].
using Blocks = std::vector<mx::array>;

// Longer than most by what only it has: residuals that are attended.

/// What a norm's weights and a projection onto one number come to, which a GGUF has multiplied: [hidden_size].
ops::Vector load_direction(const nn::Weights& w, const std::string& name, int64_t n) {
  if (const nn::Weights both = w[name + "_score"]; both.has()) return both["weight"].values(n);
  std::vector<float> weight = *w[name + "_norm"]["weight"].vector(n);
  const ops::Vector projection = w[name + "_proj"]["weight"].values(n);
  for (size_t i = 0; i < projection->size(); ++i) weight[i] *= (*projection)[i];
  return std::make_shared<const std::vector<float>>(std::move(weight));
}

/// What is attended of the finished blocks and the running sum.
mx::array attend(const nn::Step& step, Blocks blocks, const mx::array& sum,
                 const ops::Vector& direction, float eps) {
  if (blocks.empty()) return sum;
  blocks.push_back(sum);
  return ops::attend_residuals(step.context, std::move(blocks), direction, eps);
}

/// Before the final norm too, the residuals are attended.
class Residuals {
 public:
  Residuals(const nn::Config& c, const nn::Weights& w, nn::Demands& demands)
      : direction_(load_direction(w, "output_attn_res", c.hidden_size)), eps_(c.rms_norm_eps) {
    demands.add_rows((c.n_layers / c.residual_block + 3) * c.hidden_size, 0);
  }

  Blocks operator()(const mx::array&, const nn::Step&) const { return {}; }
  mx::array end(const mx::array& x, const nn::Step& step, const Blocks& blocks) const {
    return attend(step, blocks, x, direction_, eps_);
  }

 private:
  ops::Vector direction_;
  float eps_;
};

/// Both blocks get what they attend of the residuals, and add to the running sum, which starts anew with each block of layers.
struct Layer {
  using Mixer = std::variant<nn::LatentAttention, nn::GatedDelta>;
  Mixer mixer;
  nn::FeedForward feed_forward;
  ops::Vector before_mixer, before_mlp;
  float eps;
  bool begins;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : mixer(make_mixer(c, w, i, demands)),
        feed_forward(c, c.layers[static_cast<size_t>(i)], w["mlp"],
                     {.pre = nn::norm(w["post_attention_layernorm"], c), .post = {}}, i, demands),
        before_mixer(load_direction(w, "self_attention_res", c.hidden_size)),
        before_mlp(load_direction(w, "mlp_res", c.hidden_size)),
        eps(c.rms_norm_eps),
        begins(i % c.residual_block == 0) {}

  static Mixer make_mixer(const nn::Config& c, const nn::Weights& w, int64_t i,
                          nn::Demands& demands) {
    const nn::MixerConfig& config = c.layers[static_cast<size_t>(i)].mixer;
    const nn::BlockNorms norms{.pre = nn::norm(w["input_layernorm"], c), .post = {}};
    if (const auto* const delta = std::get_if<nn::GatedDeltaConfig>(&config))
      return nn::GatedDelta(c, *delta, w["self_attn"], norms, demands);
    return nn::LatentAttention(c, std::get<nn::LatentAttentionConfig>(config), w["self_attn"],
                               norms, demands);
  }

  mx::array operator()(const mx::array& x, const nn::Step& step, Blocks& blocks) const {
    const mx::array given = attend(step, blocks, x, before_mixer, eps);
    mx::array sum = x;
    if (begins) {
      blocks.push_back(x);
      sum = mx::zeros(x.shape(), mx::float32, step.context.stream);
    }
    sum = std::visit([&](const auto& part) { return part(given, sum, step); }, mixer);
    const mx::array added = feed_forward.alone(attend(step, blocks, sum, before_mlp, eps), step);
    return ops::add(step.context, sum, added);
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  if (config.residual_block > 0) return make_decoder<Layer, Residuals>(std::move(config), weights);
  return make_pre_norm(std::move(config), weights);
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_kimi(s, w, "situ");
  if (s.string({"hidden_act", ""}).value_or("situ") != "situ")
    fail(ErrorKind::unsupported, "{}: hidden_act is not 'situ'", s.where());
  const double bound = s.number({"activation_situ_beta", "%.activation.situ_beta"}).value_or(1);
  const double linear =
      s.number({"activation_situ_linear_beta", "%.activation.situ_linear_beta"}).value_or(0);
  const int64_t latent =
      s.integer({"routed_expert_hidden_size", "%.expert_latent_length"}).value_or(0);
  c.residual_block = s.integer({"attn_res_block_size", "%.attn_res.block_size"}).value_or(0);
  for (nn::LayerConfig& layer : c.layers) {
    auto* const latent_attention = std::get_if<nn::LatentAttentionConfig>(&layer.mixer);
    if (latent_attention) latent_attention->latent_eps = 1e-6F;  // the reference's own constant
    layer.mlp().situ = static_cast<float>(bound > 0 ? bound : 1);
    layer.mlp().situ_linear = static_cast<float>(linear);
    if (nn::MoeConfig* const moe = layer.moe()) moe->latent_size = latent;
  }
  for (const char* of_files : {"mla_use_output_gate", "latent_moe_use_norm"})
    s.ignore({of_files, ""});
  return c;
}

constexpr TensorName kTensors[] = {
    {".block_sparse_moe.", ".mlp."},
    {".mlp.shared_experts.", ".mlp.shared_expert."},
    {".mlp.e_score_correction_bias", ".mlp.gate.e_score_correction_bias"},
    {".mlp.routed_expert_down_proj.", ".mlp.fc1_latent_proj."},
    {".mlp.routed_expert_up_proj.", ".mlp.fc2_latent_proj."},
    {".mlp.routed_expert_norm.", ".mlp.latent_norm."},
    {".self_attn.qkv_proj.", ".self_attn.in_proj_qkv."},
    {".self_attn.qkv_conv.conv.", ".self_attn.conv1d."},
    {"_conv.conv.", "_conv1d."},
    {"_res.proj_weight", "_res_proj.weight"},
    {"_res.norm_weight", "_res_norm.weight"},
    {".w1.", ".gate_proj."},
    {".w2.", ".down_proj."},
    {".w3.", ".up_proj."}};
constexpr std::string_view kDrafting[] = {"model.mtp", "mtp"};
constexpr std::string_view kNames[] = {"kimi_k3", "kimi-k3"};

}  // namespace

// Kimi K3; as mlx-lm 0.32.2 models/kimi_k3.py. Kimi Linear whose blocks attend the residuals of earlier blocks of layers, whose latent
// attention is gated, and whose experts see a normed latent; gates and values are bounded (SiTU).
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make,
                           .gguf_names = kDeltaTensors,
                           .hf_names = kTensors,
                           .drafting = kDrafting,
                           .drops_layers_beyond = true};

}  // namespace sluice::models::families::kimi_k3
