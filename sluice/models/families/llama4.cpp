#include <algorithm>

#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models {
namespace {

constexpr int64_t kPeriod = 4;  // every fourth layer sees all, and does not rotate

/// Queries grow with their position where nothing rotates.
void read_temperature(nn::Config& c, const Source& s) {
  const bool on = s.truth("attn_temperature_tuning").value_or(true);
  const double scale = s.number({"attn_scale", ""}).value_or(0.1);
  const int64_t floor = std::max<int64_t>(1, s.integer({"floor_scale", ""}).value_or(8192));
  each_attention(c, [&](nn::AttentionConfig& a) {
    if (on && a.rope.kind == nn::RopeConfig::Kind::none)
      a.position = {.beta = static_cast<float>(scale), .original = floor, .first = 1};
  });
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  const int64_t step = std::max<int64_t>(
      1, s.integer({"interleave_moe_layer_step", "%.interleave_moe_layer_step"}).value_or(1));
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-5,
                               .rope_theta = 5e5,
                               .interleaved = true,
                               .is_sparse = [&](int64_t i) { return i % step == step - 1; },
                               .any_layers = true});
  const int64_t chunk =
      s.integer({"attention_chunk_size", "%.attention.chunk_size"}).value_or(8192);
  // Maverick, with 128 experts, norms no queries; a GGUF does not say it.
  const bool norms = s.boolean({"use_qk_norm", ""}).value_or(c.n_experts() != 128);
  const auto dense = s.integer({"intermediate_size_mlp", "%.feed_forward_length"});
  for (size_t i = 0; i < c.layers.size(); ++i) {
    nn::LayerConfig& layer = c.layers[i];
    nn::AttentionConfig& a = *layer.attention();
    if ((static_cast<int64_t>(i) + 1) % kPeriod == 0) {
      a.rope = {.kind = nn::RopeConfig::Kind::none};
    } else {
      a.chunk = chunk;
      a.unit_norms = a.norm_last = norms;
      a.norm_eps = 1e-6F;
    }
    if (nn::MoeConfig* const moe = layer.moe()) {
      moe->router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
      moe->weighs_input = true;
      moe->shared_intermediate_size = moe->expert.intermediate_size;
    } else if (dense) {
      layer.mlp().intermediate_size = *dense;
    }
  }
  read_temperature(c, s);
  for (const char* told : {"no_rope_layers", "moe_layers", "layer_types", "no_rope_layer_interval",
                           "for_llm_compressor"})
    s.ignore({told, ""});
  return c;
}

constexpr TensorName kTensors[] = {{".feed_forward.router.", ".mlp.gate."},
                                   {".feed_forward.", ".mlp."}};
constexpr std::string_view kNames[] = {"llama4"};

}  // namespace

// Llama 4, Scout and Maverick; as mlx-lm 0.32.2 models/llama4.py. Three of four layers see their own chunk of positions only;
// queries and keys are normed after their rotation, without weights; an expert's weight multiplies its input.
extern const Family llama4{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models
