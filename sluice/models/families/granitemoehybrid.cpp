#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/mixer.h"
#include "sluice/nn/moe.h"

namespace sluice::models::families::granitemoehybrid {
namespace {

/// As published a dense layer's block is called shared_mlp, as what stands beside experts is.
nn::Weights blocks_of(const nn::Weights& w, const nn::LayerConfig& layer) {
  const bool is_shared = layer.moe() == nullptr && w["mlp"]["shared_expert"]["down_proj"].has();
  return is_shared ? w["mlp"]["shared_expert"] : w["mlp"];
}

struct Layer {
  nn::Mixer mixer;
  nn::FeedForward feed_forward;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : Layer(c, c.layers[static_cast<size_t>(i)], w, i, demands) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return feed_forward(mixer(x, step), step);
  }

 private:
  Layer(const nn::Config& c, const nn::LayerConfig& layer, const nn::Weights& w, int64_t i,
        nn::Demands& demands)
      : mixer(c, layer, w,
              {.pre = nn::norm(w["input_layernorm"], c), .post = {}, .scale = c.residual_scale},
              demands),
        feed_forward(c, layer, blocks_of(w, layer),
                     {.pre = nn::norm(w["post_attention_layernorm"], c),
                      .post = {},
                      .scale = c.residual_scale},
                     i, demands) {}
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer>(std::move(config), weights);
}

/// Which layers attend; the others are Mamba-2.
std::vector<bool> attending(const Source& s, int64_t n_layers) {
  std::vector<bool> attends;
  if (s.is_gguf()) {
    attends = layers_without_keys(s, n_layers);
    attends.flip();
    return attends;
  }
  const std::vector<std::string> types =
      s.strings({"layer_types", ""}).value_or(std::vector<std::string>{});
  for (const std::string& type : types) {
    if (type != "attention" && type != "mamba")
      fail(ErrorKind::unsupported, "{}: layer_types has other layers than attention and mamba",
           s.where());
    attends.push_back(type == "attention");
  }
  if (std::ssize(attends) != n_layers)
    fail(ErrorKind::bad_model, "{}: layer_types has {} entries for {} layers", s.where(),
         attends.size(), n_layers);
  return attends;
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_granite(s, w, {.any_layers = true});
  const std::vector<bool> attends = attending(s, c.n_layers);
  const bool any_mamba = std::ranges::find(attends, false) != attends.end();
  const nn::Mamba2Config mamba = any_mamba ? read_mamba2(s, kBambaKeys) : nn::Mamba2Config{};
  // A GGUF says it by the key that tells whether RoPE was finetuned.
  const bool rotates = s.is_gguf()
                           ? s.boolean({"", "%.rope.scaling.finetuned"}).value_or(true)
                           : s.string({"position_embedding_type", ""}).value_or("rope") != "nope";
  const auto shared =
      s.integer({"shared_intermediate_size", "%.expert_shared_feed_forward_length"});
  for (size_t i = 0; i < attends.size(); ++i) {
    if (nn::MoeConfig* const moe = c.layers[i].moe()) {
      moe->shared_intermediate_size = shared.value_or(0);
    } else if (shared) {
      c.layers[i].mlp().intermediate_size = *shared;
    }
    if (!rotates) c.layers[i].attention()->rope = {.kind = nn::RopeConfig::Kind::none};
    if (!attends[i]) c.layers[i].mixer = mamba;
  }
  return c;
}

constexpr TensorName kTensors[] = {
    {".block_sparse_moe.router.layer.", ".mlp.gate."},
    {".block_sparse_moe.input_linear.", ".mlp.experts.gate_up_proj."},
    {".block_sparse_moe.output_linear.", ".mlp.experts.down_proj."},
    {".block_sparse_moe.", ".mlp."},
    {".shared_mlp.input_linear.", ".mlp.shared_expert.gate_up_proj."},
    {".shared_mlp.output_linear.", ".mlp.shared_expert.down_proj."}};
constexpr std::string_view kNames[] = {"granitemoehybrid", "granitehybrid"};

}  // namespace

// Granite 4, IBM's cards: Granite 3's multipliers, Mamba-2 in most layers, experts beside a shared one or a dense block; as
// mlx-lm 0.32.2 models/granitemoehybrid.py. That takes a step's length in Mamba from 0.001 on, where config.json does not
// say it; here, as published, it has no bounds then. Nor is Mamba's result normed as one (see read_mamba2).
extern const Family family{.names = kNames, .read = read, .make = make, .hf_names = kTensors};

}  // namespace sluice::models::families::granitemoehybrid
