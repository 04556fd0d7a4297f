#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::openelm {
namespace {

/// The multiple of `divisor` nearest to x, but not more than a tenth below it.
int64_t made_divisible(double x, int64_t divisor) {
  const auto d = static_cast<double>(divisor);
  int64_t n = std::max(divisor, static_cast<int64_t>(x + d / 2) / divisor * divisor);
  if (static_cast<double>(n) < 0.9 * x) n += divisor;
  return n;
}

std::vector<int64_t> widths(const Source& s, const nn::Config& c) {
  const auto n_layers = static_cast<size_t>(c.n_layers);
  if (s.is_gguf()) return s.integers_of_layers({"", "%.feed_forward_length"}, c.n_layers, 0);
  const auto factors = s.numbers({"ffn_multipliers", ""}).value_or(std::vector<double>{});
  const int64_t divisor = s.required_integer({"ffn_dim_divisor", ""});
  if (factors.size() != n_layers || divisor < 1) {
    fail(ErrorKind::bad_model, "{}: {} ffn_multipliers for {} layers, ffn_dim_divisor {}",
         s.where(), factors.size(), n_layers, divisor);
  }
  std::vector<int64_t> widths;
  for (const double factor : factors) {
    if (!(factor > 0 && factor < 1000))
      fail(ErrorKind::bad_model, "{}: ffn_multipliers has {}", s.where(), factor);
    widths.push_back(made_divisible(factor * static_cast<double>(c.hidden_size), divisor));
  }
  return widths;
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.any_widths = true});
  const auto heads =
      s.integers_of_layers({"num_attention_heads", "%.attention.head_count"}, c.n_layers, 0);
  const auto kv_heads =
      s.integers_of_layers({"num_key_value_heads", "%.attention.head_count_kv"}, c.n_layers, 0);
  const std::vector<int64_t> inner = widths(s, c);
  for (size_t i = 0; i < c.layers.size(); ++i) {
    nn::AttentionConfig& a = *c.layers[i].attention();
    a.n_heads = heads[i];
    a.n_kv_heads = kv_heads[i];
    c.layers[i].mlp().intermediate_size = inner[i];
    check_heads(s, i, a);
  }
  for (const char* told : {"normalize_qk_projections", "ffn_with_glu", "num_gqa_groups",
                           "qkv_multipliers", "normalization_layer_name", "activation_fn_name"})
    s.ignore({told, ""});  // the files tell, or no published model has another
  return c;
}

constexpr KeyName kKeys[] = {{"model_dim", "hidden_size"},
                             {"num_query_heads", "num_attention_heads"},
                             {"num_kv_heads", "num_key_value_heads"},
                             {"num_transformer_layers", "num_hidden_layers"},
                             {"rope_freq_constant", "rope_theta"},
                             {"max_context_length", "max_position_embeddings"},
                             {"share_input_output_layers", "tie_word_embeddings"}};
constexpr TensorName kTensors[] = {{"^transformer.token_embeddings.", "model.embed_tokens."},
                                   {"^transformer.", "model."},
                                   {".attn.out_proj.", ".self_attn.o_proj."},
                                   {".attn.", ".self_attn."},
                                   {".attn_norm.", ".input_layernorm."},
                                   {".ffn_norm.", ".post_attention_layernorm."},
                                   {".ffn.proj_1.", ".mlp.gate_up_proj."},
                                   {".ffn.proj_2.", ".mlp.down_proj."}};
constexpr std::string_view kNames[] = {"openelm"};

}  // namespace

// OpenELM, arXiv:2404.14619; as mlx-lm 0.32.2 models/openelm.py. Layers grow: each has heads and a width of its own; q_norm and
// k_norm over each head.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .config_keys = kKeys,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::openelm
