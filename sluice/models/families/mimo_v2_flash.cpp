#include <cmath>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::mimo_v2_flash {
namespace {

/// Of each layer. Throws Error(bad_model) unless there are as many as layers.
std::vector<bool> flags(const Source& s, const char* key, int64_t n_layers) {
  const auto values = s.numbers({key, ""}).value_or(std::vector<double>{});
  if (values.size() != static_cast<size_t>(n_layers)) {
    fail(ErrorKind::bad_model, "{}: {} has {} entries for {} layers", s.where(), key, values.size(),
         n_layers);
  }
  return {values.begin(), values.end()};
}

/// Layers with a window have heads and a base of their own.
void read_layers(nn::Config& c, const Source& s) {
  const auto slides = s.is_gguf() ? sliding_layers(s, c.n_layers, nullptr)
                                  : flags(s, "hybrid_layer_pattern", c.n_layers);
  const auto heads = s.integers_of_layers({"", "%.attention.head_count"}, c.n_layers, 0);
  const auto kv_heads = s.integers_of_layers({"", "%.attention.head_count_kv"}, c.n_layers, 0);
  const int64_t window = s.required_integer({"sliding_window_size", "%.attention.sliding_window"});
  const double share = s.number({"partial_rotary_factor", ""}).value_or(1);
  const double value_scale =
      s.number({"attention_value_scale", "%.attention.value_scale"}).value_or(1);
  const auto local_theta = s.number({"swa_rope_theta", "%.rope.freq_base_swa"});
  if (!s.is_gguf()) s.ignore({"sliding_window", ""});  // the same once more
  for (size_t i = 0; i < c.layers.size(); ++i) {
    nn::AttentionConfig& a = *c.layers[i].attention();
    const bool local = slides[i];
    const auto of = [&](const std::string& key) {
      return s.required_integer({local ? "swa_" + key : key, ""});
    };
    int64_t value_dim = 0;
    if (s.is_gguf()) {
      a.n_heads = heads[i];
      a.n_kv_heads = kv_heads[i];
      value_dim = s.integer({"", "%.attention.value_length"}).value_or(a.head_dim);
    } else {
      a.n_heads = of("num_attention_heads");
      a.n_kv_heads = of("num_key_value_heads");
      a.head_dim = of("head_dim");
      value_dim = of("v_head_dim");
      a.rope.dims = static_cast<int64_t>(share * static_cast<double>(a.head_dim));
    }
    if (a.n_heads < 1 || a.n_kv_heads < 1 || a.n_heads % a.n_kv_heads != 0 || a.head_dim < 1 ||
        a.head_dim > kMaxHeadDim || value_dim < 1 || value_dim > a.head_dim) {
      fail(ErrorKind::unsupported, "{}: layer {} has {} heads of {}, {} for keys, values of {}",
           s.where(), i, a.n_heads, a.head_dim, a.n_kv_heads, value_dim);
    }
    a.value_dim = value_dim < a.head_dim ? value_dim : 0;
    a.value_scale = static_cast<float>(value_scale);
    a.scale = 1 / std::sqrt(static_cast<float>(a.head_dim));
    a.sliding_window = local ? window : 0;
    if (local) a.rope.theta = local_theta.value_or(a.rope.theta);
  }
}

std::function<bool(int64_t)> sparse_layers(const Source& s, const nn::WeightTable& w) {
  if (s.is_gguf()) return has_router(w);
  const auto listed = flags(s, "moe_layer_freq", s.required_integer({"num_hidden_layers", ""}));
  return [listed](int64_t i) { return listed[static_cast<size_t>(i)]; };
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.norm_eps_key = "layernorm_epsilon",
                               .renormalize = true,
                               .is_sparse = sparse_layers(s, w),
                               .any_widths = s.is_gguf(),
                               .narrow_values = true,
                               .any_layers = true});
  read_layers(c, s);
  for (const char* told : {"topk_method", "add_swa_attention_sink_bias",
                           "add_full_attention_sink_bias", "attention_chunk_size"})
    s.ignore({told, ""});
  each_moe(c, [](nn::MoeConfig& moe) {
    moe.router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
    moe.router.least_sum = 1e-20F;
  });
  return c;
}

constexpr TensorName kTensors[] = {{".self_attn.attention_sink_bias", ".self_attn.sinks"},
                                   {".mlp.shared_experts.", ".mlp.shared_expert."}};
constexpr TensorName kGgufTensors[] = {{"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}};
constexpr std::string_view kDrafting[] = {"model.mtp"};
constexpr std::string_view kNames[] = {"mimo_v2_flash", "mimo2"};

}  // namespace

// MiMo-V2-Flash, arXiv:2601.02780; as mlx-lm 0.32.2 models/mimo_v2_flash.py. Values narrower than keys; layers with a window
// have heads and a base of their own, and sinks; experts by sigmoids with a bias.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors,
                           .drafting = kDrafting};

}  // namespace sluice::models::families::mimo_v2_flash
