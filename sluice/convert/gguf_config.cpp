#include "sluice/convert/gguf_config.h"

#include <algorithm>
#include <cmath>

#include "sluice/base/error.h"
#include "sluice/convert/gguf_kinds.h"

namespace sluice::convert {
namespace {

bool has_tensor(const SourceModel& model, std::string_view ours) {
  return std::ranges::any_of(model.tensors, [&](const SourceTensor& t) { return t.ours == ours; });
}

void add_experts(nlohmann::json& config, const nn::MoeConfig& moe) {
  config["num_experts"] = moe.n_experts;
  config["num_experts_per_tok"] = moe.router.n_experts_per_tok;
  config["norm_topk_prob"] = moe.router.renormalize;
  config["moe_intermediate_size"] = moe.expert.intermediate_size;
  config["decoder_sparse_step"] = 1;
  config["mlp_only_layers"] = nlohmann::json::array();
  if (moe.shared_intermediate_size > 0)
    config["shared_expert_intermediate_size"] = moe.shared_intermediate_size;
}

/// Gemma 2 and 3: windows, scales, soft caps.
void add_gemma(nlohmann::json& config, const SourceModel& model, std::string_view type) {
  const nn::AttentionConfig* sliding = nullptr;
  for (const nn::LayerConfig& layer : model.config.layers)
    if (layer.attention()->sliding_window > 0) sliding = layer.attention();
  const float scale = model.config.attention()->scale;
  config["query_pre_attn_scalar"] = std::llround(1 / (scale * scale));  // readers want an integer
  config["hidden_activation"] = "gelu_pytorch_tanh";
  if (sliding != nullptr) config["sliding_window"] = sliding->sliding_window;
  if (type == "gemma2") {
    config["attn_logit_softcapping"] = model.config.attention()->softcap;
    config["final_logit_softcapping"] = model.config.logits_softcap;
  } else {
    config["sliding_window_pattern"] = 6;
    if (sliding != nullptr) config["rope_local_base_freq"] = sliding->rope.theta;
  }
}

}  // namespace

std::string mlx_name(const SourceModel& gguf, const SourceTensor& tensor) {
  gguf_kind_of(gguf);
  std::string name = tensor.ours;
  constexpr std::string_view kExperts = ".experts.";
  if (const size_t at = name.find(kExperts); at != std::string::npos)
    name.replace(at, kExperts.size(), ".switch_mlp.");
  return name;
}

Change mlx_change(const SourceModel& gguf, const SourceTensor& tensor) {
  const GgufKind& kind = gguf_kind_of(gguf);
  const auto ends = [&](std::string_view end) { return tensor.ours.ends_with(end); };
  Change change;
  if (kind.shifted && tensor.use == SourceTensor::Use::vector && ends("norm.weight"))
    change.added = -1;
  const bool is_q = ends(".q_proj.weight"), is_k = ends(".k_proj.weight");
  if (kind.pairs && (is_q || is_k)) {
    const nn::AttentionConfig& a = *gguf.config.attention();
    change.rows = Change::Rows::to_halves;
    change.n_heads = is_q ? a.n_heads : a.n_kv_heads;
  }
  if (kind.pairs && (ends(".q_proj.bias") || ends(".k_proj.bias"))) {
    fail(ErrorKind::unsupported, "{}: biases of reordered rows are not converted", tensor.name);
  }
  return change;
}

nlohmann::json config_of_gguf(const SourceModel& gguf) {
  const GgufKind& kind = gguf_kind_of(gguf);
  const nn::Config& c = gguf.config;
  const nn::AttentionConfig& a = *c.attention();
  if (!a.rope.divisors.empty() || has_tensor(gguf, "rope_freqs.weight") ||
      a.rope.kind != nn::RopeConfig::Kind::plain) {
    fail(ErrorKind::unsupported,
         "{}: a GGUF's stretched RoPE does not say how it was made; convert the original instead",
         gguf.path.string());
  }
  if (c.moe() != nullptr && kind.architecture == "llama")
    fail(ErrorKind::unsupported, "{}: Mixtral is converted from its original only",
         gguf.path.string());
  nlohmann::json config = {{"model_type", kind.model_type},
                           {"hidden_size", c.hidden_size},
                           {"num_hidden_layers", c.n_layers},
                           {"intermediate_size", c.layers[0].mlp().intermediate_size},
                           {"num_attention_heads", a.n_heads},
                           {"num_key_value_heads", a.n_kv_heads},
                           {"head_dim", a.head_dim},
                           {"rms_norm_eps", c.rms_norm_eps},
                           {"vocab_size", c.vocab_size},
                           {"rope_theta", a.rope.theta},
                           {"max_position_embeddings", c.max_position_embeddings},
                           {"tie_word_embeddings", !has_tensor(gguf, "lm_head.weight")},
                           {"torch_dtype", "float16"}};
  config["attention_bias"] = has_tensor(gguf, "model.layers.0.self_attn.q_proj.bias");
  config["mlp_bias"] = false;
  if (c.moe() != nullptr) add_experts(config, *c.moe());
  if (kind.architecture.starts_with("gemma")) add_gemma(config, gguf, kind.model_type);
  // What is this family's own: as the loader asked for it by both names.
  for (const auto& [key, value] : gguf.source->translated().items()) {
    if (key.find('/') == std::string::npos && !config.contains(key)) config[key] = value;
  }
  return config;
}

}  // namespace sluice::convert
