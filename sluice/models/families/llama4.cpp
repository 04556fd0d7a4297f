#include <algorithm>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::llama4 {
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

/// Which layers rotate: as the list says, 1 for those that do, else all but every fourth.
std::vector<bool> rotating(const Source& s, int64_t n_layers) {
  const auto listed = s.numbers({"no_rope_layers", ""}).value_or(std::vector<double>{});
  if (!listed.empty() && std::ssize(listed) != n_layers)
    fail(ErrorKind::bad_model, "{}: no_rope_layers has {} entries for {} layers", s.where(),
         listed.size(), n_layers);
  std::vector<bool> rotates;
  for (int64_t i = 0; i < n_layers; ++i)
    rotates.push_back(listed.empty() ? (i + 1) % kPeriod != 0
                                     : listed[static_cast<size_t>(i)] != 0);
  return rotates;
}

/// As published an expert's matrices are [in, out], gate and up side by side in one.
void read_layout(const nn::Config& c, nn::WeightTable& w) {
  for (int64_t i = 0; i < c.n_layers; ++i) {
    if (w.find(fmt::format("model.layers.{}.mlp.experts.gate_up_proj", i)) == nullptr) continue;
    w.is_transposed = [](std::string_view path) { return path.find(".experts.") != path.npos; };
    return;
  }
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  const bool of_text = s.architecture() == "llama4_text";
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
  const std::vector<bool> rotates = rotating(s, c.n_layers);
  for (size_t i = 0; i < c.layers.size(); ++i) {
    nn::LayerConfig& layer = c.layers[i];
    nn::AttentionConfig& a = *layer.attention();
    if (!rotates[i]) {
      a.rope = {.kind = nn::RopeConfig::Kind::none};
    } else {
      a.chunk = chunk;
      a.unit_norms = a.norm_last = norms;
      if (!of_text) a.norm_eps = 1e-6F;
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
  read_layout(c, w);
  for (const char* told :
       {"moe_layers", "layer_types", "no_rope_layer_interval", "for_llm_compressor"})
    s.ignore({told, ""});
  return c;
}

constexpr TensorName kTensors[] = {
    {".feed_forward.router.", ".mlp.gate."}, {".feed_forward.", ".mlp."}, {"^output.", "lm_head."}};
constexpr std::string_view kNames[] = {"llama4", "llama4_text"};

}  // namespace

// Llama 4, Scout and Maverick, and MobileLLM-R1, which has no experts; as mlx-lm 0.32.2 models/llama4.py and llama4_text.py,
// but that layers which do not rotate have no norms of queries and keys in the latter either, as in transformers. Three of four layers see their own chunk of positions only;
// queries and keys are normed after their rotation, without weights; an expert's weight multiplies its input.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::llama4
