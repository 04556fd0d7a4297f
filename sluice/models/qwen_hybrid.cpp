#include "sluice/models/qwen_hybrid.h"

#include <algorithm>

#include "sluice/base/error.h"

namespace sluice::models {
namespace {

nn::GatedDeltaConfig read_gated_delta(const Source& s) {
  const nn::GatedDeltaConfig g{
      .n_key_heads = s.required_integer({"linear_num_key_heads", "%.ssm.group_count"}),
      .n_value_heads = s.required_integer({"linear_num_value_heads", "%.ssm.time_step_rank"}),
      .key_dim = s.required_integer({"linear_key_head_dim", "%.ssm.state_size"}),
      .value_dim =
          s.is_gguf() ? state_head_dim(s) : s.required_integer({"linear_value_head_dim", ""}),
      .n_taps = s.required_integer({"linear_conv_kernel_dim", "%.ssm.conv_kernel"})};
  check_state_sizes(s, {g.n_key_heads, g.n_value_heads, g.key_dim, g.value_dim, g.n_taps});
  if (g.n_value_heads % g.n_key_heads != 0) {
    fail(ErrorKind::bad_model, "{}: {} value heads of linear layers for {} key heads", s.where(),
         g.n_value_heads, g.n_key_heads);
  }
  return g;
}

/// As published, norms hold their weight less 1 and convolutions lie [channels, 1, taps]; mlx-lm's conversion changes
/// both at once.
bool is_as_published(const nn::WeightTable& w, int64_t n_layers) {
  for (int64_t i = 0; i < n_layers; ++i) {
    const io::TensorInfo* const conv =
        w.find(fmt::format("model.layers.{}.linear_attn.conv1d.weight", i));
    if (conv != nullptr) return conv->shape.size() == 3 && conv->shape[1] == 1;
  }
  return false;
}

}  // namespace

nn::Config read_qwen_hybrid(const Source& s, nn::WeightTable& w, Defaults defaults) {
  defaults.rotary_share = 0.25;
  defaults.other_layers = "linear_attention";
  nn::Config c = read_decoder(s, w, defaults);
  const nn::GatedDeltaConfig linear = read_gated_delta(s);
  const int64_t interval = std::max<int64_t>(
      1, s.integer({"full_attention_interval", "%.full_attention_interval"}).value_or(4));
  const auto types = s.strings({"layer_types", ""});
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const auto at = static_cast<size_t>(i);
    nn::LayerConfig& layer = c.layers[at];
    const bool is_linear = types ? (*types)[at] == "linear_attention" : (i + 1) % interval != 0;
    layer.attention()->output_gate = true;
    if (is_linear) layer.mixer = linear;
  }
  if (!s.is_gguf() && is_as_published(w, c.n_layers)) c.norm_weight_offset = 1;
  for (const char* other : {"attn_output_gate", "mamba_ssm_dtype", "mtp_num_hidden_layers",
                            "mtp_use_dedicated_embeddings"})
    s.ignore({other, ""});
  for (const char* other : {"%.attention.recurrent_layers", "%.rope.dimension_sections"})
    s.ignore({"", other});
  return c;
}

}  // namespace sluice::models
