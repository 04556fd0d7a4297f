#include <cmath>

#include "sluice/base/error.h"
#include "sluice/models/config.h"

namespace sluice::models {
namespace {

/// What queries times keys are multiplied with: YaRN's magnitude counts twice.
float scale_of(const Source& s, int64_t head_dim) {
  const bool newer = s.object("rope_parameters") != nullptr;
  const auto of_rope = [&](const char* older_name, const char* newer_name, const char* gguf) {
    return s.number({newer ? newer_name : older_name, gguf});
  };
  const double all_dim =
      of_rope("rope_scaling/mscale_all_dim", "rope_parameters/mscale_all_dim", "").value_or(0);
  const double factor =
      of_rope("rope_scaling/factor", "rope_parameters/factor", "%.rope.scaling.factor").value_or(1);
  const double log_multiplier =
      s.number({"", "%.rope.scaling.yarn_log_multiplier"}).value_or(0.1 * all_dim);
  const double m = factor > 1 ? log_multiplier * std::log(factor) + 1 : 1;
  return static_cast<float>(m * m / std::sqrt(static_cast<double>(head_dim)));
}

}  // namespace

void read_latent_attention(nn::Config& c, const Source& s, nn::WeightTable& w,
                           const Defaults& defaults) {
  nn::LatentAttentionConfig a;
  a.n_heads = c.attention()->n_heads;
  a.q_lora_rank = s.integer({"q_lora_rank", "%.attention.q_lora_rank"}).value_or(0);
  a.kv_lora_rank = s.required_integer({"kv_lora_rank", "%.attention.kv_lora_rank"});
  a.rope_dim = s.required_integer({"qk_rope_head_dim", "%.rope.dimension_count"});
  if (s.is_gguf()) {
    // Those of the row, where the file says both.
    const auto key = s.integer({"", "%.attention.key_length"});
    const auto value = s.integer({"", "%.attention.value_length"});
    a.nope_dim =
        s.integer({"", "%.attention.key_length_mla"}).value_or(key.value_or(0)) - a.rope_dim;
    a.value_dim = s.integer({"", "%.attention.value_length_mla"})
                      .value_or(value.value_or(c.hidden_size / a.n_heads));
  } else {
    a.nope_dim = s.required_integer({"qk_nope_head_dim", ""});
    a.value_dim = s.integer({"v_head_dim", ""}).value_or(c.hidden_size / a.n_heads);
    for (const char* derived : {"head_dim", "qk_head_dim"}) s.ignore({derived, ""});
  }
  if (a.kv_lora_rank < 1 || a.rope_dim < 2 || a.nope_dim < 1 || a.value_dim < 1 ||
      a.kv_lora_rank + a.rope_dim > kMaxHeadDim) {
    fail(
        ErrorKind::unsupported,
        "{}: latent rows of {} and {} elements, heads of {} and {}: supported are rows of up to {}",
        s.where(), a.kv_lora_rank, a.rope_dim, a.nope_dim, a.value_dim, kMaxHeadDim);
  }
  a.rope = read_rope(s, w, c, a.rope_dim, defaults);
  a.rope.interleaved = true;
  a.latent_eps = c.rms_norm_eps;
  a.scale = scale_of(s, a.nope_dim + a.rope_dim);
  for (nn::LayerConfig& layer : c.layers) layer.mixer = a;
}

}  // namespace sluice::models
