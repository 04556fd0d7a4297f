#include "sluice/models/config.h"

#include <algorithm>
#include <cmath>

#include "sluice/base/error.h"

namespace sluice::models {
namespace {

using nn::Config;

constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeadDim = 512;
constexpr int64_t kMaxExperts = 65536;
/// Of all layers together: what is kept of each is not bounded by its bytes in the file.
constexpr int64_t kMostExpertsInAll = int64_t{1} << 18;

void read_heads(Config& c, const Source& s, const Defaults& d) {
  c.n_heads = s.uniform_integer({"num_attention_heads", "%.attention.head_count"})
                  .value_or(s.is_gguf() ? 0 : d.n_heads);
  const bool usual = !s.is_gguf() && d.n_kv_heads > 0 && !s.has("num_key_value_heads");
  c.n_kv_heads = s.uniform_integer({"num_key_value_heads", "%.attention.head_count_kv"})
                     .value_or(usual ? d.n_kv_heads : c.n_heads);
  if (c.n_layers < 1 || c.n_layers > kMaxLayers || c.n_heads < 1 || c.n_kv_heads < 1 ||
      c.hidden_size < 1 || c.n_heads % c.n_kv_heads != 0) {
    fail(ErrorKind::bad_model,
         "{}: {} layers of {} heads ({} for keys) over {} values make no model", s.where(),
         c.n_layers, c.n_heads, c.n_kv_heads, c.hidden_size);
  }
  const int64_t head_dim = d.head_dim > 0 && !s.is_gguf() ? d.head_dim : c.hidden_size / c.n_heads;
  c.head_dim = s.integer({"head_dim", "%.attention.key_length"}).value_or(head_dim);
  if (const auto value_length = s.integer({"", "%.attention.value_length"});
      value_length.value_or(c.head_dim) != c.head_dim) {
    fail(ErrorKind::unsupported, "{}: values of {} elements with keys of {} are not supported",
         s.where(), *value_length, c.head_dim);
  }
  if (c.head_dim < 1 || c.head_dim > kMaxHeadDim) {
    fail(ErrorKind::unsupported, "{}: head_dim is {}, supported are 1 to {}", s.where(), c.head_dim,
         kMaxHeadDim);
  }
}

void read_sizes(Config& c, const Source& s, const nn::WeightTable& weights, const Defaults& d) {
  c.hidden_size = s.required_integer({"hidden_size", "%.embedding_length"});
  c.n_layers = s.required_integer({"num_hidden_layers", "%.block_count"});
  c.intermediate_size =
      s.uniform_integer({"intermediate_size", "%.feed_forward_length"}).value_or(0);
  c.max_position_embeddings =
      s.integer({"max_position_embeddings", "%.context_length"}).value_or(0);
  read_heads(c, s, d);
  if (s.is_gguf()) {  // the embedding table knows best; some files lack the key
    const io::TensorInfo* const table = weights.find("model.embed_tokens.weight");
    if (table == nullptr || table->shape.empty())
      fail(ErrorKind::bad_model, "{}: has no token_embd.weight", s.where());
    c.vocab_size = table->shape.front();
  } else if (d.vocab_size > 0) {
    c.vocab_size = s.integer({"vocab_size", ""}).value_or(d.vocab_size);
  } else {
    c.vocab_size = s.required_integer({"vocab_size", ""});
  }
  const bool has_head = weights.find("lm_head.weight") != nullptr;
  c.tie_word_embeddings = s.boolean({"tie_word_embeddings", ""}).value_or(!has_head);
}

void read_norm_and_scales(Config& c, const Source& s, const Defaults& d) {
  const double eps =
      s.number({"rms_norm_eps", "%.attention.layer_norm_rms_epsilon"}).value_or(d.rms_norm_eps);
  if (eps < 0 || eps > 1)
    fail(ErrorKind::bad_model, "{}: rms_norm_eps is {}, wanted from 0 to 1", s.where(), eps);
  c.rms_norm_eps = static_cast<float>(eps);
  c.attention_softcap = static_cast<float>(
      s.number({"attn_logit_softcapping", "%.attn_logit_softcapping"}).value_or(0));
  c.logits_softcap = static_cast<float>(
      s.number({"final_logit_softcapping", "%.final_logit_softcapping"}).value_or(0));
  const double scalar =
      s.number({"query_pre_attn_scalar", ""}).value_or(static_cast<double>(c.head_dim));
  if (!(scalar > 0))
    fail(ErrorKind::bad_model, "{}: query_pre_attn_scalar is {}, wanted more", s.where(), scalar);
  c.attention_scale = static_cast<float>(1 / std::sqrt(scalar));
  const std::string newer = s.string({"hidden_activation", ""}).value_or("");
  const std::string older = s.string({"hidden_act", ""}).value_or("silu");
  c.activation = activation_of(s, newer.empty() ? older : newer);
}

void read_experts(Config& c, const Source& s) {
  const int64_t local = s.integer({"num_local_experts", ""}).value_or(0);
  c.n_experts = s.integer({"num_experts", "%.expert_count"}).value_or(0);
  if (c.n_experts == 0) c.n_experts = local;
  constexpr Key kPerToken{"num_experts_per_tok", "%.expert_used_count"};
  c.router.n_experts_per_tok = s.integer(kPerToken).value_or(0);
  c.router.renormalize = s.boolean({"norm_topk_prob", "%.expert_weights_norm"}).value_or(false);
  c.moe_intermediate_size = s.integer({"moe_intermediate_size", "%.expert_feed_forward_length"})
                                .value_or(c.intermediate_size);
  c.shared_expert_intermediate_size =
      s.integer({"shared_expert_intermediate_size", "%.expert_shared_feed_forward_length"})
          .value_or(0);
  const int64_t step = std::max<int64_t>(1, s.integer({"decoder_sparse_step", ""}).value_or(1));
  const std::vector<double> dense =
      s.numbers({"mlp_only_layers", ""}).value_or(std::vector<double>{});
  if (c.n_experts == 0) {
    c.router.n_experts_per_tok = c.moe_intermediate_size = c.shared_expert_intermediate_size = 0;
    return;
  }
  s.required_integer(kPerToken);
  if (c.n_experts > kMaxExperts || c.n_experts * c.n_layers > kMostExpertsInAll ||
      c.router.n_experts_per_tok < 1 || c.router.n_experts_per_tok > c.n_experts) {
    fail(ErrorKind::bad_model, "{}: {} of {} experts per token in {} layers", s.where(),
         c.router.n_experts_per_tok, c.n_experts, c.n_layers);
  }
  if (const auto gating = s.integer({"", "%.expert_gating_func"}); gating.value_or(1) > 1)
    fail(ErrorKind::unsupported, "{}: router function {} is not supported", s.where(), *gating);
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const bool listed =
        std::find(dense.begin(), dense.end(), static_cast<double>(i)) != dense.end();
    c.layer_is_moe.push_back(!listed && (i + 1) % step == 0);
  }
}

/// Keys and values are kept as precisely as the model's weights are, never by the packed integers'
/// type: the embedding table decides, by its scales where it is quantized; GGUF blocks have float16
/// scales.
kernels::KvType kv_type(const Source& s, const nn::WeightTable& weights) {
  const io::TensorInfo* table = weights.find("model.embed_tokens.scales");
  if (table == nullptr) table = weights.find("model.embed_tokens.weight");
  switch (table == nullptr ? io::TensorType::u8 : table->type) {
    case io::TensorType::f32:
      return kernels::KvType::f32;
    case io::TensorType::f16:
      return kernels::KvType::f16;
    case io::TensorType::bf16:
      return kernels::KvType::bf16;
    default:
      break;
  }
  if (s.is_gguf()) return kernels::KvType::f16;
  std::string name = s.string({"torch_dtype", ""}).value_or("");
  if (name.empty()) name = s.string({"dtype", ""}).value_or("bfloat16");
  return name == "float32"   ? kernels::KvType::f32
         : name == "float16" ? kernels::KvType::f16
                             : kernels::KvType::bf16;
}

void read_windows(Config& c, const Source& s, const Defaults& d) {
  const bool usual = s.is_gguf() || !s.has("sliding_window");
  const int64_t window = s.integer({"sliding_window", "%.attention.sliding_window"})
                             .value_or(usual ? d.sliding_window : 0);
  const std::vector<bool> sliding = sliding_layers(s, c.n_layers, d.slides);
  for (size_t i = 0; i < sliding.size(); ++i) c.layers[i].sliding_window = sliding[i] ? window : 0;
}

}  // namespace

kernels::Activation activation_of(const Source& source, const std::string& name) {
  if (name == "silu" || name == "swish") return kernels::Activation::silu;
  if (name == "gelu") return kernels::Activation::gelu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return kernels::Activation::gelu_tanh;
  fail(ErrorKind::unsupported, "{}: activation '{}' is not supported", source.where(), name);
}

Config read_decoder(const Source& source, nn::WeightTable& weights, const Defaults& defaults) {
  Config c;
  c.architecture = source.architecture();
  read_sizes(c, source, weights, defaults);
  read_norm_and_scales(c, source, defaults);
  read_experts(c, source);
  const nn::RopeConfig rope = read_rope(source, weights, c, defaults.rope_theta);
  c.layers.assign(static_cast<size_t>(c.n_layers), {.sliding_window = 0, .rope = rope});
  read_windows(c, source, defaults);
  c.kv_type = kv_type(source, weights);
  return c;
}

}  // namespace sluice::models
