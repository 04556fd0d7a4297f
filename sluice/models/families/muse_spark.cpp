#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/moe.h"

namespace sluice::models::families::muse_spark {
namespace {

/// What a block's result is added as: alpha x + beta norm(scale y).
struct ResidualGate {
  ops::Vector alpha, beta;  // [hidden_size]
  ops::Vector scale;        // null: 1

  /// Of a trained gate, or what mlx-lm's conversion made of it.
  ResidualGate(const nn::Config& c, const nn::Weights& w, const std::string& gate,
               const std::string& converted)
      : alpha(w[converted + "_alpha"].optional_vector(c.hidden_size)) {
    if (alpha) {
      beta = w[converted + "_beta"].vector(c.hidden_size);
      return;
    }
    constexpr float kTemperature = 0.3F, kLeast = 1e-3F;
    const ops::Vector trained = w[gate]["gate"].vector(c.hidden_size);
    std::vector<float> keep, add;
    for (const float g : *trained) {
      const float b = 1 / (1 + std::exp(-g / kTemperature));
      add.push_back(b);
      keep.push_back(std::sqrt(std::max(kLeast, (1 + b) / (1 + std::exp(g / kTemperature)))));
    }
    alpha = std::make_shared<const std::vector<float>>(std::move(keep));
    beta = std::make_shared<const std::vector<float>>(std::move(add));
  }

  mx::array operator()(const mx::array& x, const mx::array& y, float eps,
                       const nn::Step& step) const {
    const ops::Context& context = step.context;
    return ops::add_block(context, scale ? ops::scale_columns(context, y, scale) : y,
                          {.norm = ops::Norm{beta, 0, eps}}, ops::scale_columns(context, x, alpha));
  }
};

ops::Norm block_norm(const nn::Config& c, const nn::Weights& w) {
  return {w["weight"].vector(c.hidden_size), c.block_norm_offset, c.rms_norm_eps};
}

struct Layer {
  nn::Attention attention;
  ResidualGate after_attention;
  nn::SparseMlp mlp;
  ResidualGate after_mlp;
  float eps;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : attention(c, *c.layers[static_cast<size_t>(i)].attention(), w["self_attn"],
                  {.pre = block_norm(c, w["input_layernorm"]), .post = {}}, demands),
        after_attention(c, w, "post_attention_residual_gate", "add_attn"),
        mlp(c, *c.layers[static_cast<size_t>(i)].moe(), w["mlp"],
            {.pre = block_norm(c, w["pre_feedforward_layernorm"]), .post = {}}, i, demands),
        after_mlp(c, w, "post_feedforward_residual_gate", "add_ffn"),
        eps(c.post_norm_eps) {
    std::vector<float> scale = *w["post_feedforward_layernorm"]["weight"].vector(c.hidden_size);
    for (float& value : scale) value += c.block_norm_offset;
    after_mlp.scale = std::make_shared<const std::vector<float>>(std::move(scale));
  }

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    const mx::array y = after_attention(x, attention.alone(x, step), eps, step);
    return after_mlp(y, mlp.alone(y, step), eps, step);
  }
};

/// Layers that are marked with 0 do not rotate.
void read_rotations(nn::Config& c, const Source& s) {
  const auto bases = s.numbers({"layer_rope_theta", ""}).value_or(std::vector<double>{});
  if (bases.size() != c.layers.size())
    fail(ErrorKind::bad_model, "{}: layer_rope_theta has {} layers, there are {}", s.where(),
         bases.size(), c.layers.size());
  for (size_t i = 0; i < bases.size(); ++i) {
    nn::RopeConfig& rope = c.layers[i].attention()->rope;
    if (bases[i] == 0) {
      rope = {.kind = nn::RopeConfig::Kind::none};
    } else if (bases[i] != rope.theta) {
      fail(ErrorKind::unsupported, "{}: layer_rope_theta of layer {} is {}, rope_theta is {}",
           s.where(), i, bases[i], rope.theta);
    }
  }
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  const bool is_converted = w.find("model.layers.0.add_attn_alpha") != nullptr;
  nn::Config c = read_decoder(s, w, {.renormalize = true, .interleaved = is_converted});
  c.post_norm_eps = static_cast<float>(s.number({"post_norm_eps", ""}).value_or(1e-5));
  c.block_norm_offset = is_converted ? 0 : 1;
  c.embedding_norm = true;
  const double multiplier = s.number({"output_multiplier", ""}).value_or(1);
  c.logits_scale = static_cast<float>(multiplier);
  const auto factor = s.number({"qk_scale_factor", ""}).value_or(5.4730064863875);
  const int64_t latent = s.required_integer({"moe_hidden_size", ""});
  for (nn::LayerConfig& layer : c.layers) {
    nn::AttentionConfig& a = *layer.attention();
    a.has_gate = a.unit_norms = a.result_norm = true;
    a.scale *= static_cast<float>(factor);  // queries', after their norm
    nn::MoeConfig* const moe = layer.moe();
    if (moe == nullptr || moe->shared_intermediate_size != 0 || latent < 1 || latent > 1 << 20)
      fail(ErrorKind::unsupported, "{}: layers of other than experts of {} elements", s.where(),
           latent);
    moe->latent_size = latent;
    moe->router_scale = c.logits_scale;
    moe->router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
    moe->router.least_sum = 1e-15F;
  }
  read_rotations(c, s);
  const auto kinds = s.strings({"mlp_layer_types", ""}).value_or(std::vector<std::string>{});
  const bool dense = std::ranges::any_of(kinds, [](auto& kind) { return kind != "sparse"; });
  if (dense || s.integer({"num_shared_experts", ""}).value_or(0) != 0)
    fail(ErrorKind::unsupported, "{}: dense and shared experts are not supported", s.where());
  return c;
}

constexpr TensorName kTensors[] = {{".mlp.pre_expert_proj.", ".mlp.fc1_latent_proj."},
                                   {".mlp.post_expert_proj.", ".mlp.fc2_latent_proj."},
                                   {"_proj_weight_scale_2", "_proj.weight_scale_2"},
                                   {"_proj_weight_scale", "_proj.weight_scale"},
                                   {"_proj_input_scale", "_proj.input_scale"}};
constexpr std::string_view kNames[] = {"muse_spark"};

}  // namespace

// Muse Spark; as mlx-lm 0.32.2 models/muse_spark.py, but that nothing is rounded to bfloat16. Trained gates weigh each element of the
// residual and of what a block adds; what was attended is normed head by head and gated; experts see a latent, and what each
// gives is normed before it is weighed.
extern const Family family{
    .names = kNames, .read = read, .make = make_decoder<Layer>, .hf_names = kTensors};

}  // namespace sluice::models::families::muse_spark
