#include "sluice/models/config.h"

#include <algorithm>
#include <cmath>

#include "sluice/base/error.h"

namespace sluice::models {
namespace {

using nn::Config;
using nn::RopeConfig;

constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeadDim = 512;

/// A count that some GGUF files give per layer: the layers must agree.
std::optional<int64_t> uniform_integer(const Source& source, const Key& key) {
  if (!source.is_gguf()) return source.integer(key);
  try {
    return source.integer(key);
  } catch (const Error&) {
    const auto values = source.numbers(key);
    if (!values || values->empty() || std::any_of(values->begin(), values->end(), [&](double v) {
          return v != values->front();
        })) {
      fail(ErrorKind::unsupported, "{}: {} differs from layer to layer, which is not supported",
           source.where(), key.gguf);
    }
    return static_cast<int64_t>(values->front());
  }
}

void read_sizes(Config& c, const Source& s, const nn::WeightTable& weights) {
  c.hidden_size = s.required_integer({"hidden_size", "%.embedding_length"});
  c.n_layers = s.required_integer({"num_hidden_layers", "%.block_count"});
  c.n_heads = uniform_integer(s, {"num_attention_heads", "%.attention.head_count"}).value_or(0);
  c.n_kv_heads =
      uniform_integer(s, {"num_key_value_heads", "%.attention.head_count_kv"}).value_or(c.n_heads);
  c.intermediate_size =
      uniform_integer(s, {"intermediate_size", "%.feed_forward_length"}).value_or(0);
  c.max_position_embeddings =
      s.integer({"max_position_embeddings", "%.context_length"}).value_or(0);
  if (c.n_layers < 1 || c.n_layers > kMaxLayers || c.n_heads < 1 || c.n_kv_heads < 1 ||
      c.hidden_size < 1 || c.n_heads % c.n_kv_heads != 0) {
    fail(ErrorKind::bad_model,
         "{}: {} layers of {} heads ({} for keys) over {} values make no model", s.where(),
         c.n_layers, c.n_heads, c.n_kv_heads, c.hidden_size);
  }
  c.head_dim =
      s.integer({"head_dim", "%.attention.key_length"}).value_or(c.hidden_size / c.n_heads);
  if (const auto value_length = s.integer({"", "%.attention.value_length"});
      value_length.value_or(c.head_dim) != c.head_dim) {
    fail(ErrorKind::unsupported, "{}: values of {} elements with keys of {} are not supported",
         s.where(), *value_length, c.head_dim);
  }
  if (c.head_dim < 1 || c.head_dim > kMaxHeadDim) {
    fail(ErrorKind::unsupported, "{}: head_dim is {}, supported are 1 to {}", s.where(), c.head_dim,
         kMaxHeadDim);
  }
  if (s.is_gguf()) {  // the embedding table knows best; some files lack the key
    const auto table = weights.matrices.find("model.embed_tokens");
    if (table == weights.matrices.end())
      fail(ErrorKind::bad_model, "{}: has no token_embd.weight", s.where());
    c.vocab_size = table->second.weight->shape.front();
  } else {
    c.vocab_size = s.required_integer({"vocab_size", ""});
  }
  const bool has_head = weights.matrices.contains("lm_head");
  c.tie_word_embeddings = s.boolean({"tie_word_embeddings", ""}).value_or(!has_head);
}

/// config.json nests the same numbers in several ways: rope_scaling beside rope_theta, or (transformers 5)
/// both inside rope_parameters, by layer type in models with two kinds of layer.
struct RopeKeys {
  std::string scaling;  // the object that holds factor and type
  std::string theta;
};

RopeKeys rope_keys(const Source& s, const std::string& layer_type) {
  const nlohmann::json& config = s.config();
  const auto parameters = config.is_object() ? config.find("rope_parameters") : config.end();
  if (config.is_object() && parameters != config.end() && parameters->is_object()) {
    if (parameters->contains(layer_type)) {
      const std::string base = "rope_parameters/" + layer_type;
      return {base, base + "/rope_theta"};
    }
    return {"rope_parameters", "rope_parameters/rope_theta"};
  }
  return {"rope_scaling", "rope_theta"};
}

RopeConfig::Kind rope_kind(const Source& s, const std::string& type) {
  using Kind = RopeConfig::Kind;
  if (type.empty() || type == "default" || type == "none" || type == "mrope") return Kind::plain;
  if (type == "linear") return Kind::linear;
  if (type == "dynamic") return Kind::dynamic;
  if (type == "llama3") return Kind::llama3;
  if (type == "yarn") return Kind::yarn;
  if (type == "longrope" || type == "su") return Kind::longrope;
  fail(ErrorKind::unsupported, "{}: RoPE scaling '{}' is not supported", s.where(), type);
}

/// A table of frequency divisors that a GGUF stores as a tensor.
std::vector<double> rope_divisors(const nn::WeightTable& weights, const std::string& name,
                                  int64_t n_pairs) {
  const nn::Weights root(weights);
  const ops::Vector values = root[name].optional_vector("weight", n_pairs);
  return values ? std::vector<double>(values->begin(), values->end()) : std::vector<double>{};
}

RopeConfig read_rope(const Config& c, const Source& s, const nn::WeightTable& weights,
                     const std::string& layer_type) {
  const RopeKeys keys = rope_keys(s, layer_type);
  const auto scaling = [&](const std::string& name) { return keys.scaling + "/" + name; };
  const auto number = [&](const std::string& hf, std::string_view gguf) {
    return s.number({scaling(hf), gguf});
  };
  RopeConfig r;
  r.dims = c.head_dim;
  if (const auto dims = s.integer({"", "%.rope.dimension_count"})) r.dims = *dims;
  if (const auto share = s.number({"partial_rotary_factor", ""})) {
    r.dims = static_cast<int64_t>(static_cast<double>(c.head_dim) * *share);
  }
  if (r.dims > c.head_dim)
    fail(ErrorKind::bad_model, "{}: RoPE over {} of {} elements", s.where(), r.dims, c.head_dim);
  const bool qwen_moe = c.architecture == "qwen2_moe" || c.architecture == "qwen2";
  r.theta = s.number({keys.theta, "%.rope.freq_base"})
                .value_or(c.architecture == "mixtral" || qwen_moe ? 1e6 : 1e4);
  r.interleaved = s.boolean({"rope_traditional", ""}).value_or(false);
  std::string type = s.string({scaling("rope_type"), "%.rope.scaling.type"}).value_or("");
  if (type.empty()) type = s.string({scaling("type"), ""}).value_or("");
  r.kind = rope_kind(s, type);
  r.factor = number("factor", "%.rope.scaling.factor").value_or(1.0);
  r.max_positions = c.max_position_embeddings;
  r.original_positions = s.integer({scaling("original_max_position_embeddings"),
                                    "%.rope.scaling.original_context_length"})
                             .value_or(0);
  if (r.original_positions == 0) {
    const int64_t usual = r.kind == RopeConfig::Kind::llama3 ? 8192 : 4096;
    r.original_positions = s.integer({"original_max_position_embeddings", ""}).value_or(usual);
  }
  r.low_freq_factor = number("low_freq_factor", "").value_or(1.0);
  r.high_freq_factor = number("high_freq_factor", "").value_or(4.0);
  r.beta_fast = number("beta_fast", "%.rope.scaling.yarn_beta_fast").value_or(32);
  r.beta_slow = number("beta_slow", "%.rope.scaling.yarn_beta_slow").value_or(1);
  r.mscale = number("mscale", "").value_or(1);
  r.mscale_all_dim = number("mscale_all_dim", "").value_or(0);
  if (r.kind == RopeConfig::Kind::longrope) {
    r.attention_factor = number("long_mscale", "%.rope.scaling.attn_factor").value_or(0);
    const auto factors = s.numbers({scaling("long_factor"), ""});
    r.divisors = factors ? *factors : rope_divisors(weights, "rope_factors_long", r.dims / 2);
    if (r.divisors.empty())
      fail(ErrorKind::bad_model, "{}: longrope without its long_factor table", s.where());
  } else if (s.is_gguf()) {
    r.divisors = rope_divisors(weights, "rope_factors_long", r.dims / 2);
    if (!r.divisors.empty()) {  // a converter writes no scaling type for longrope
      r.kind = RopeConfig::Kind::longrope;
      r.attention_factor = s.number({"", "%.rope.scaling.attn_factor"}).value_or(0);
    } else {
      r.divisors = rope_divisors(weights, "rope_freqs", r.dims / 2);  // Llama 3's, already computed
    }
  }
  return r;
}

/// Which layers have a sliding window: a list of layer types, a pattern, or all of them.
std::vector<bool> sliding_layers(const Config& c, const Source& s) {
  const auto n = static_cast<size_t>(c.n_layers);
  std::vector<bool> sliding(n, false);
  if (const auto types = s.strings({"layer_types", ""})) {
    if (types->size() != n) {
      fail(ErrorKind::bad_model, "{}: layer_types has {} entries for {} layers", s.where(),
           types->size(), n);
    }
    for (size_t i = 0; i < n; ++i) sliding[i] = (*types)[i] == "sliding_attention";
    return sliding;
  }
  const std::string& a = c.architecture;
  int64_t pattern = 0;  // every pattern-th layer sees everything
  if (a == "gemma2" || a == "gpt_oss" || a == "gpt-oss") pattern = 2;
  if (a == "gemma3" || a == "gemma3_text") pattern = 6;
  if (const auto given = s.integer({"sliding_window_pattern", ""})) pattern = *given;
  if (s.is_gguf()) {
    constexpr Key kPattern{"", "%.attention.sliding_window_pattern"};
    try {
      if (const auto given = s.integer(kPattern)) pattern = *given;
    } catch (const Error&) {  // an array: one flag per layer
      const auto flags = s.numbers(kPattern);
      if (!flags || flags->size() != n) {
        fail(ErrorKind::bad_model, "{}: sliding_window_pattern is neither a number nor {} flags",
             s.where(), n);
      }
      for (size_t i = 0; i < n; ++i) sliding[i] = (*flags)[i] != 0;
      return sliding;
    }
  }
  for (size_t i = 0; i < n; ++i) {
    const auto layer = static_cast<int64_t>(i);
    if (pattern > 0) sliding[i] = (layer + 1) % pattern != 0;
    if (a == "mistral" || a == "phi3") sliding[i] = true;
    if (a.starts_with("qwen")) {
      sliding[i] = s.boolean({"use_sliding_window", ""}).value_or(false) &&
                   layer >= s.integer({"max_window_layers", ""}).value_or(0);
    }
  }
  return sliding;
}

void read_layers(Config& c, const Source& s, const nn::WeightTable& weights) {
  const bool gemma2 = c.architecture == "gemma2";
  const bool gemma3 = c.architecture == "gemma3" || c.architecture == "gemma3_text";
  const int64_t usual_window = gemma2 ? 4096 : gemma3 ? 512 : 0;
  const int64_t window =
      s.integer({"sliding_window", "%.attention.sliding_window"}).value_or(usual_window);
  const std::vector<bool> sliding = sliding_layers(c, s);
  const RopeConfig global = read_rope(c, s, weights, "full_attention");
  RopeConfig local = global;
  if (gemma3) {  // local layers have a base of their own and are never stretched
    if (rope_keys(s, "sliding_attention").theta != rope_keys(s, "full_attention").theta) {
      local = read_rope(c, s, weights, "sliding_attention");
    } else {
      local.kind = RopeConfig::Kind::plain;
      local.factor = 1;
      local.theta = s.number({"rope_local_base_freq", "%.rope.freq_base_swa"}).value_or(1e4);
    }
  }
  for (const bool is_sliding : sliding) {
    c.layers.push_back(
        {.sliding_window = is_sliding ? window : 0, .rope = is_sliding ? local : global});
  }
}

void read_experts(Config& c, const Source& s) {
  c.n_experts = s.integer({"num_experts", "%.expert_count"}).value_or(0);
  if (c.n_experts == 0) c.n_experts = s.integer({"num_local_experts", ""}).value_or(0);
  if (c.n_experts == 0) return;
  c.router.n_experts_per_tok = s.required_integer({"num_experts_per_tok", "%.expert_used_count"});
  c.router.renormalize = s.boolean({"norm_topk_prob", "%.expert_weights_norm"}).value_or(false);
  c.moe_intermediate_size = s.integer({"moe_intermediate_size", "%.expert_feed_forward_length"})
                                .value_or(c.intermediate_size);
  c.shared_expert_intermediate_size =
      s.integer({"shared_expert_intermediate_size", "%.expert_shared_feed_forward_length"})
          .value_or(0);
  if (c.n_experts > 65536 || c.router.n_experts_per_tok < 1 ||
      c.router.n_experts_per_tok > c.n_experts) {
    fail(ErrorKind::bad_model, "{}: {} of {} experts per token", s.where(),
         c.router.n_experts_per_tok, c.n_experts);
  }
  const int64_t step = std::max<int64_t>(1, s.integer({"decoder_sparse_step", ""}).value_or(1));
  const std::vector<double> dense =
      s.numbers({"mlp_only_layers", ""}).value_or(std::vector<double>{});
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const bool listed =
        std::find(dense.begin(), dense.end(), static_cast<double>(i)) != dense.end();
    c.layer_is_moe.push_back(!listed && (i + 1) % step == 0);
  }
}

void read_activation(Config& c, const Source& s) {
  std::string name = s.string({"hidden_activation", ""}).value_or("");
  if (name.empty()) name = s.string({"hidden_act", ""}).value_or("silu");
  if (name == "silu" || name == "swish") {
    c.activation = kernels::Activation::silu;
  } else if (name == "gelu") {
    c.activation = kernels::Activation::gelu;
  } else if (name == "gelu_pytorch_tanh" || name == "gelu_new") {
    c.activation = kernels::Activation::gelu_tanh;
  } else {
    fail(ErrorKind::unsupported, "{}: activation '{}' is not supported", s.where(), name);
  }
}

/// Keys and values are kept as precisely as the model's weights are, never by the packed integers' type:
/// the embedding table decides, by its scales where it is quantized; GGUF blocks have float16 scales.
kernels::KvType kv_type(const Source& s, const nn::WeightTable& weights) {
  const auto found = weights.matrices.find("model.embed_tokens");
  if (found != weights.matrices.end()) {
    const nn::StoredMatrix& table = found->second;
    switch ((table.scales != nullptr ? *table.scales : *table.weight).type) {
      case io::TensorType::f32:
        return kernels::KvType::f32;
      case io::TensorType::f16:
        return kernels::KvType::f16;
      case io::TensorType::bf16:
        return kernels::KvType::bf16;
      default:
        break;
    }
  }
  if (s.is_gguf()) return kernels::KvType::f16;
  std::string name = s.string({"torch_dtype", ""}).value_or("");
  if (name.empty()) name = s.string({"dtype", ""}).value_or("bfloat16");
  return name == "float32"   ? kernels::KvType::f32
         : name == "float16" ? kernels::KvType::f16
                             : kernels::KvType::bf16;
}

}  // namespace

std::vector<bool> rope_layers(const Source& source, int64_t n_layers) {
  std::vector<bool> uses_rope;
  const int64_t interval =
      std::max<int64_t>(1, source.integer({"no_rope_layer_interval", ""}).value_or(4));
  const auto flags = source.numbers({"no_rope_layers", ""});  // 1 where the layer does rotate
  if (flags && flags->size() != static_cast<size_t>(n_layers)) {
    fail(ErrorKind::bad_model, "{}: no_rope_layers has {} entries for {} layers", source.where(),
         flags->size(), n_layers);
  }
  for (int64_t i = 0; i < n_layers; ++i) {
    uses_rope.push_back(flags ? (*flags)[static_cast<size_t>(i)] != 0 : (i + 1) % interval != 0);
  }
  return uses_rope;
}

nn::Config read_config(const Source& s, const nn::WeightTable& weights) {
  Config c;
  c.architecture = s.architecture();
  read_sizes(c, s, weights);
  const double eps =
      s.number({"rms_norm_eps", "%.attention.layer_norm_rms_epsilon"}).value_or(1e-6);
  if (eps < 0 || eps > 1)
    fail(ErrorKind::bad_model, "{}: rms_norm_eps is {}, wanted from 0 to 1", s.where(), eps);
  c.rms_norm_eps = static_cast<float>(eps);
  c.attention_softcap = static_cast<float>(
      s.number({"attn_logit_softcapping", "%.attn_logit_softcapping"}).value_or(0));
  c.logits_softcap = static_cast<float>(
      s.number({"final_logit_softcapping", "%.final_logit_softcapping"}).value_or(0));
  const double scalar =
      s.number({"query_pre_attn_scalar", ""}).value_or(static_cast<double>(c.head_dim));
  c.attention_scale = static_cast<float>(1 / std::sqrt(scalar));
  read_activation(c, s);
  read_experts(c, s);
  read_layers(c, s, weights);
  c.kv_type = kv_type(s, weights);
  return c;
}

std::function<std::optional<nn::QuantizationConfig>(const std::string&)> quantization_of(
    const Source& source) {
  if (source.is_gguf()) return nullptr;
  const nlohmann::json& config = source.config();
  auto it = config.find("quantization");
  if (it == config.end()) it = config.find("quantization_config");
  if (it == config.end() || !it->is_object()) return nullptr;
  return [quantization = *it, where = source.where()](
             const std::string& path) -> std::optional<nn::QuantizationConfig> {
    const auto read = [&](const nlohmann::json& object) {
      const auto whole = [&](const char* key, int64_t otherwise) {
        const auto found = object.find(key);
        if (found == object.end() || found->is_null()) return otherwise;
        if (!found->is_number_integer()) {
          fail(ErrorKind::bad_model, "{}: quantization of {}: {} is not a whole number", where,
               path, key);
        }
        return found->get<int64_t>();
      };
      nn::QuantizationConfig q{whole("bits", 0), whole("group_size", 64), "affine"};
      if (const auto mode = object.find("mode"); mode != object.end() && mode->is_string()) {
        q.mode = mode->get<std::string>();
      }
      return q;
    };
    const auto own = quantization.find(path);
    if (own == quantization.end() || !own->is_object()) return std::nullopt;
    return read(*own);
  };
}

}  // namespace sluice::models
