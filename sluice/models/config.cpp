#include "sluice/models/config.h"

#include <algorithm>
#include <cmath>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"

namespace sluice::models {
namespace {

using nn::AttentionConfig;
using nn::Config;
using nn::MlpConfig;
using nn::MoeConfig;

constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxExperts = 65536;
/// Of all layers together: what is kept of each is not bounded by its bytes in the file.
constexpr int64_t kMostExpertsInAll = int64_t{1} << 18;

/// n_heads, n_kv_heads and head_dim.
AttentionConfig read_heads(const Config& c, const Source& s, const Defaults& d) {
  AttentionConfig a;
  if (d.headless) {
    for (const char* unused : {"%.attention.head_count", "%.attention.head_count_kv"})
      s.ignore({"", unused});
    a.n_heads = a.n_kv_heads = a.head_dim = 1;
    return a;
  }
  constexpr Key kHeads{"num_attention_heads", "%.attention.head_count"};
  if (d.any_widths && s.is_array(kHeads)) {
    const std::vector<int64_t> all = s.integers_of_layers(kHeads, c.n_layers, 0);
    a.n_heads = all.empty() ? 0 : std::ranges::max(all);
  } else {
    a.n_heads = s.uniform_integer(kHeads).value_or(s.is_gguf() ? 0 : d.n_heads);
  }
  const bool usual = !s.is_gguf() && d.n_kv_heads > 0 && !s.has("num_key_value_heads");
  constexpr Key kKvHeads{"num_key_value_heads", "%.attention.head_count_kv"};
  a.n_kv_heads = d.any_widths && s.is_array(kKvHeads)
                     ? a.n_heads
                     : s.largest_integer(kKvHeads).value_or(usual ? d.n_kv_heads : a.n_heads);
  if (c.n_layers < 1 || c.n_layers > kMaxLayers || a.n_heads < 1 || a.n_kv_heads < 1 ||
      c.hidden_size < 1 || a.n_heads % a.n_kv_heads != 0) {
    fail(ErrorKind::bad_model,
         "{}: {} layers of {} heads ({} for keys) over {} values make no model", s.where(),
         c.n_layers, a.n_heads, a.n_kv_heads, c.hidden_size);
  }
  const int64_t head_dim = d.head_dim > 0 && !s.is_gguf() ? d.head_dim : c.hidden_size / a.n_heads;
  if (d.latent) {
    a.head_dim =
        std::max<int64_t>(2, s.integer({"qk_rope_head_dim", "%.rope.dimension_count"}).value_or(2));
    return a;
  }
  a.head_dim = s.integer({"head_dim", "%.attention.key_length"}).value_or(head_dim);
  if (const auto value_length = s.integer({"", "%.attention.value_length"});
      !d.narrow_values && value_length.value_or(a.head_dim) != a.head_dim) {
    fail(ErrorKind::unsupported, "{}: values of {} elements with keys of {} are not supported",
         s.where(), *value_length, a.head_dim);
  }
  if (a.head_dim < 1 || a.head_dim > kMaxHeadDim) {
    fail(ErrorKind::unsupported, "{}: head_dim is {}, supported are 1 to {}", s.where(), a.head_dim,
         kMaxHeadDim);
  }
  return a;
}

void read_sizes(Config& c, const Source& s, const nn::WeightTable& weights, const Defaults& d) {
  c.hidden_size = s.required_integer({"hidden_size", "%.embedding_length"});
  c.n_layers = d.n_layers > 0 ? d.n_layers : s.layer_count({"num_hidden_layers", "%.block_count"});
  c.max_position_embeddings =
      s.integer({"max_position_embeddings", "%.context_length"}).value_or(0);
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

void read_norm(Config& c, const Source& s, const Defaults& d) {
  const double eps =
      s.number({d.norm_eps_key, "%.attention.layer_norm_rms_epsilon"})
          .value_or(s.number({"", "%.attention.layer_norm_epsilon"}).value_or(d.rms_norm_eps));
  if (eps < 0 || eps > 1)
    fail(ErrorKind::bad_model, "{}: {} is {}, wanted from 0 to 1", s.where(), d.norm_eps_key, eps);
  c.rms_norm_eps = static_cast<float>(eps);
  c.centered_norms = d.centered_norms;
}

void read_scales(Config& c, AttentionConfig& a, const Source& s) {
  a.softcap = static_cast<float>(
      s.number({"attn_logit_softcapping", "%.attn_logit_softcapping"}).value_or(0));
  c.logits_softcap = static_cast<float>(
      s.number({"final_logit_softcapping", "%.final_logit_softcapping"}).value_or(0));
  const double scalar =
      s.number({"query_pre_attn_scalar", ""}).value_or(static_cast<double>(a.head_dim));
  if (!(scalar > 0))
    fail(ErrorKind::bad_model, "{}: query_pre_attn_scalar is {}, wanted more", s.where(), scalar);
  a.scale = static_cast<float>(1 / std::sqrt(scalar));
}

MlpConfig read_mlp(const Source& s, const Defaults& d) {
  MlpConfig mlp;
  constexpr Key kWidth{"intermediate_size", "%.feed_forward_length"};
  mlp.intermediate_size = d.any_widths && s.is_array(kWidth)
                              ? 0
                              : s.uniform_integer(kWidth).value_or(d.intermediate_size);
  const std::string newer = s.string({"hidden_activation", ""}).value_or("");
  const std::string older = s.string({"hidden_act", ""}).value_or(std::string(d.activation));
  const std::string& name = newer.empty() ? older : newer;
  if (name.empty() || name != d.own_activation) mlp.activation = activation_of(s, name);
  mlp.is_gated = d.gated_mlp;
  return mlp;
}

/// Scores, groups and scale, as DeepSeek-V3 and those after it name them.
void read_router(MoeConfig& moe, const Source& s) {
  ops::RouterSpec& r = moe.router;
  std::string scoring = s.string({"scoring_func", ""}).value_or("");
  if (scoring.empty()) scoring = s.string({"score_function", ""}).value_or("");
  const int64_t gating = s.integer({"", "%.expert_gating_func"}).value_or(1);
  if (scoring == "sigmoid" || scoring == "noaux_tc" || gating == 2)
    r.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
  if (scoring == "sqrtsoftplus") r.scoring = ops::RouterSpec::Scoring::root_softplus_then_top_k;
  if (gating > 2)
    fail(ErrorKind::unsupported, "{}: router function {} is not supported", s.where(), gating);
  static constexpr std::string_view kKnown[] = {"", "sigmoid", "noaux_tc", "softmax",
                                                "sqrtsoftplus"};
  if (std::ranges::find(kKnown, scoring) == std::end(kKnown)) {
    fail(ErrorKind::unsupported, "{}: scoring_func '{}' is not supported", s.where(),
         printable(scoring));
  }
  r.n_groups = std::max<int64_t>(1, s.integer({"n_group", "%.expert_group_count"}).value_or(1));
  const auto used = s.integer({"topk_group", "%.expert_group_used_count"});
  r.n_groups_used = r.n_groups == 1 ? 1 : std::max<int64_t>(1, used.value_or(1));
  if (moe.n_experts % r.n_groups != 0 || r.n_groups_used > r.n_groups ||
      moe.n_experts / r.n_groups * r.n_groups_used < r.n_experts_per_tok) {
    fail(ErrorKind::bad_model, "{}: {} experts a token from {} of {} groups of {} experts",
         s.where(), r.n_experts_per_tok, r.n_groups_used, r.n_groups, moe.n_experts);
  }
  r.weight_scale =
      static_cast<float>(s.number({"routed_scaling_factor", "%.expert_weights_scale"}).value_or(1));
}

/// The experts of a sparse layer; n_experts 0: no layer is sparse.
MoeConfig read_experts(const Config& c, const MlpConfig& dense, const Source& s,
                       const Defaults& d) {
  MoeConfig moe;
  const int64_t local = s.integer({"num_local_experts", ""}).value_or(0);
  const int64_t routed = s.integer({"n_routed_experts", ""}).value_or(0);
  moe.n_experts = s.integer({"num_experts", "%.expert_count"}).value_or(0);
  if (moe.n_experts == 0) moe.n_experts = std::max(local, routed);
  constexpr Key kPerToken{"num_experts_per_tok", "%.expert_used_count"};
  moe.router.n_experts_per_tok = s.integer(kPerToken).value_or(0);
  moe.router.renormalize =
      s.boolean({"norm_topk_prob", "%.expert_weights_norm"}).value_or(d.renormalize);
  moe.expert = dense;
  moe.expert.intermediate_size =
      s.integer({"moe_intermediate_size", "%.expert_feed_forward_length"})
          .value_or(dense.intermediate_size);
  const auto shared_size =
      s.integer({"shared_expert_intermediate_size", "%.expert_shared_feed_forward_length"});
  const int64_t n_shared = s.integer({"n_shared_experts", "%.expert_shared_count"}).value_or(0);
  moe.shared_intermediate_size = shared_size.value_or(n_shared * moe.expert.intermediate_size);
  if (moe.n_experts == 0) return {};
  s.required_integer(kPerToken);
  check_experts(s, moe, c.n_layers);
  read_router(moe, s);
  return moe;
}

/// Which layers are sparse.
std::vector<bool> sparse_layers(const Config& c, const Source& s, const Defaults& d) {
  const int64_t step = std::max<int64_t>(1, s.integer({"decoder_sparse_step", ""}).value_or(1));
  const int64_t first = s.integer({d.first_dense_key, "%.leading_dense_block_count"}).value_or(0);
  const std::vector<double> dense =
      s.numbers({"mlp_only_layers", ""}).value_or(std::vector<double>{});
  std::vector<bool> sparse;
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const bool listed =
        std::find(dense.begin(), dense.end(), static_cast<double>(i)) != dense.end();
    sparse.push_back(d.is_sparse ? d.is_sparse(i) : !listed && i >= first && (i + 1) % step == 0);
  }
  return sparse;
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
  if (d.any_layers) return;
  const bool usual = s.is_gguf() || !s.has("sliding_window");
  const int64_t window = s.integer({"sliding_window", "%.attention.sliding_window"})
                             .value_or(usual ? d.sliding_window : 0);
  const std::vector<bool> sliding = sliding_layers(s, c.n_layers, d.slides, d.other_layers);
  for (size_t i = 0; i < sliding.size(); ++i)
    c.layers[i].attention()->sliding_window = sliding[i] ? window : 0;
}

}  // namespace

void check_experts(const Source& source, const nn::MoeConfig& moe, int64_t n_layers) {
  const int64_t per_tok = moe.router.n_experts_per_tok;
  if (moe.n_experts < 1 || moe.n_experts > kMaxExperts ||
      moe.n_experts * n_layers > kMostExpertsInAll || per_tok < 1 || per_tok > moe.n_experts) {
    fail(ErrorKind::bad_model, "{}: {} of {} experts per token in {} layers", source.where(),
         per_tok, moe.n_experts, n_layers);
  }
}

kernels::Activation activation_of(const Source& source, const std::string& name) {
  if (name == "silu" || name == "swish") return kernels::Activation::silu;
  if (name == "gelu") return kernels::Activation::gelu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new" || name == "gelu_fast")
    return kernels::Activation::gelu_tanh;
  if (name == "relu2" || name == "sqrelu") return kernels::Activation::relu_squared;
  if (name == "xielu")
    return kernels::Activation::silu;  // its slopes, which the files have, decide
  fail(ErrorKind::unsupported, "{}: activation '{}' is not supported", source.where(), name);
}

Config read_decoder(const Source& source, nn::WeightTable& weights, const Defaults& defaults) {
  Config c;
  c.architecture = source.architecture();
  read_sizes(c, source, weights, defaults);
  read_norm(c, source, defaults);
  AttentionConfig attention = read_heads(c, source, defaults);
  read_scales(c, attention, source);
  attention.rope = read_rope(source, weights, c, attention.head_dim, defaults);
  const MlpConfig mlp = read_mlp(source, defaults);
  const MoeConfig moe =
      defaults.experts_elsewhere ? MoeConfig{} : read_experts(c, mlp, source, defaults);
  c.layers.assign(static_cast<size_t>(c.n_layers), {.mixer = attention, .feed_forward = mlp});
  const std::vector<bool> sparse = sparse_layers(c, source, defaults);
  for (size_t i = 0; i < sparse.size(); ++i) {
    if (moe.n_experts > 0 && sparse[i]) c.layers[i].feed_forward = moe;
  }
  read_windows(c, source, defaults);
  c.kv.type = kv_type(source, weights);
  return c;
}

}  // namespace sluice::models
