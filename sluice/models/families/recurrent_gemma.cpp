#include <cmath>
#include <variant>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/griffin.h"
#include "sluice/nn/mlp.h"

namespace sluice::models::families::recurrent_gemma {
namespace {

struct Layer {
  std::variant<nn::Attention, nn::Griffin> temporal;
  nn::GatedMlp mlp;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : temporal(make(c, w["temporal_block"],
                      {.pre = nn::norm(w["temporal_pre_norm"], c), .post = {}}, i, demands)),
        mlp(c, c.layers[static_cast<size_t>(i)].mlp(), w["mlp_block"],
            {.pre = nn::norm(w["channel_pre_norm"], c), .post = {}}, demands) {}

  static decltype(temporal) make(const nn::Config& c, const nn::Weights& w, nn::BlockNorms norms,
                                 int64_t i, nn::Demands& demands) {
    const nn::LayerConfig& layer = c.layers[static_cast<size_t>(i)];
    if (layer.attention() != nullptr)
      return nn::Attention(c, *layer.attention(), w, std::move(norms), demands);
    return nn::Griffin(c, w, std::move(norms), demands);
  }

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return mlp(std::visit([&](const auto& part) { return part(x, step); }, temporal), step);
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer>(std::move(config), weights);
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.n_kv_heads = 1,
                               .activation = "gelu_pytorch_tanh",
                               .rotary_share = 0.5,
                               .any_layers = true});
  c.norm_weight_offset = 1;
  if (s.boolean({"embeddings_scale_by_sqrt_dim", ""}).value_or(true))
    c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  c.logits_softcap = static_cast<float>(s.number({"logits_soft_cap", ""}).value_or(0));
  const int64_t window = s.integer({"attention_window_size", ""}).value_or(2048);
  auto types = s.strings({"block_types", ""});
  if (!types) types = s.strings({"_block_types", ""});
  if (!types || types->empty()) types = {"recurrent", "recurrent", "attention"};
  for (const char* told :
       {"conv1d_width", "lru_width", "w_init_variance_scale", "final_w_init_variance_scale"})
    s.ignore({told, ""});
  for (size_t i = 0; i < c.layers.size(); ++i) {
    const std::string& type = (*types)[i % types->size()];
    nn::LayerConfig& layer = c.layers[i];
    layer.mlp().intermediate_size /= 2;
    layer.attention()->sliding_window = window;
    if (type == "recurrent") layer.mixer = nn::NoMixer{};  // the files tell its sizes
    if (type != "recurrent" && type != "attention")
      fail(ErrorKind::unsupported, "{}: block_types has other layers than recurrent and attention",
           s.where());
  }
  return c;
}

constexpr TensorName kTensors[] = {{"model.final_norm.", "model.norm."}};
constexpr std::string_view kNames[] = {"recurrent_gemma"};

}  // namespace

// RecurrentGemma, arXiv:2404.07839, which is Griffin; as mlx-lm 0.32.2 models/recurrent_gemma.py, but that all norms have
// the file's epsilon. Real-gated linear recurrent units, and local attention in every third layer.
extern const Family family{.names = kNames, .read = read, .make = make, .hf_names = kTensors};

}  // namespace sluice::models::families::recurrent_gemma
