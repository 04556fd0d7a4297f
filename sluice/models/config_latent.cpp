#include <cmath>

#include "sluice/base/error.h"
#include "sluice/models/config.h"

namespace sluice::models {
namespace {

/// What queries times keys are multiplied with: YaRN's magnitude counts twice.
float scale_of(const Source& s, int64_t head_dim) {
  const double all_dim = s.number({"rope_scaling/mscale_all_dim", ""}).value_or(0);
  const double factor = s.number({"rope_scaling/factor", "%.rope.scaling.factor"}).value_or(1);
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
    const int64_t key = s.required_integer({"", "%.attention.key_length_mla"});
    a.nope_dim = key - a.rope_dim;
    a.value_dim = s.required_integer({"", "%.attention.value_length_mla"});
    for (const char* of_the_row : {"%.attention.key_length", "%.attention.value_length"})
      s.ignore({"", of_the_row});
  } else {
    a.nope_dim = s.required_integer({"qk_nope_head_dim", ""});
    a.value_dim = s.required_integer({"v_head_dim", ""});
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
