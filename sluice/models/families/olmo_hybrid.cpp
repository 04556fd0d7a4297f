#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/layers.h"
#include "sluice/models/make_decoder.h"

namespace sluice::models::families::olmo_hybrid {
namespace {

/// Linear layers have norms before their blocks, full ones after them.
struct Layer {
  std::variant<PreNormLayer, PostNormLayer> layer;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : layer(make(c, w, i, demands)) {}

  static decltype(layer) make(const nn::Config& c, const nn::Weights& w, int64_t i,
                              nn::Demands& demands) {
    if (c.layers[static_cast<size_t>(i)].attention() == nullptr)
      return PreNormLayer(c, w, i, demands);
    return PostNormLayer(c, w, i, demands);
  }

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return std::visit([&](const auto& of) { return of(x, step); }, layer);
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer>(std::move(config), weights);
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.rms_norm_eps = 1e-6, .other_layers = "linear_attention"});
  nn::GatedDeltaConfig linear{
      .n_key_heads = s.required_integer({"linear_num_key_heads", ""}),
      .n_value_heads = s.required_integer({"linear_num_value_heads", ""}),
      .key_dim = s.required_integer({"linear_key_head_dim", ""}),
      .value_dim = s.required_integer({"linear_value_head_dim", ""}),
      .n_taps = s.required_integer({"linear_conv_kernel_dim", ""}),
      .beta_scale = s.boolean({"linear_allow_neg_eigval", ""}).value_or(true) ? 2.0F : 1.0F,
      .norm_eps = static_cast<float>(s.number({"layer_norm_epsilon", ""}).value_or(1e-5))};
  check_state_sizes(s, {linear.n_key_heads, linear.n_value_heads, linear.key_dim, linear.value_dim,
                        linear.n_taps});
  if (linear.n_value_heads % linear.n_key_heads != 0)
    fail(ErrorKind::bad_model, "{}: {} value heads of linear layers for {} key heads", s.where(),
         linear.n_value_heads, linear.n_key_heads);
  const bool rotates = !s.has("rope_theta") || s.number({"rope_theta", ""}).has_value();
  const auto types = s.strings({"layer_types", ""});
  for (size_t i = 0; i < c.layers.size(); ++i) {
    if (!rotates) c.layers[i].attention()->rope = {.kind = nn::RopeConfig::Kind::none};
    if (types ? (*types)[i] == "linear_attention" : i % 4 != 3) c.layers[i].mixer = linear;
  }
  return c;
}

constexpr std::string_view kNames[] = {"olmo_hybrid"};

}  // namespace

// OLMo Hybrid, of Ai2; as mlx-lm 0.32.2 models/olmo_hybrid.py. Gated delta nets whose eigenvalues may be negative,
// and every fourth layer as OLMo 2's.
extern const Family family{.names = kNames, .read = read, .make = make};

}  // namespace sluice::models::families::olmo_hybrid
