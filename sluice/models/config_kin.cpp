// Readers of families that are related.
#include <cmath>

#include "sluice/models/config.h"

namespace sluice::models {

nn::Config read_qwen(const Source& s, nn::WeightTable& w, Defaults defaults) {
  const int64_t first = s.integer({"max_window_layers", ""}).value_or(28);
  const bool uses_window = s.boolean({"use_sliding_window", ""}).value_or(false);
  defaults.sliding_window = 4096;
  if (!defaults.slides) defaults.slides = [first](int64_t layer) { return layer >= first; };
  nn::Config c = read_decoder(s, w, defaults);
  // Of pictures; a text has the same position in each section.
  for (const char* seen : {"%.rope.dimension_sections", "%.n_deepstack_layers"})
    s.ignore({"", seen});
  if (!uses_window) {
    for (nn::LayerConfig& layer : c.layers) layer.attention()->sliding_window = 0;
  }
  return c;
}

void read_gemma(nn::Config& c, const Source& s, int64_t large) {
  c.norm_weight_offset = s.is_gguf() ? 0.0F : 1.0F;  // ggml's converter adds the 1
  const auto name = s.string({"hidden_activation", ""});
  const auto activation = activation_of(s, name.value_or("gelu_pytorch_tanh"));  // never hidden_act
  for (nn::LayerConfig& layer : c.layers) {
    nn::AttentionConfig& a = *layer.attention();
    layer.mlp().activation = activation;
    if (!s.is_gguf() && !s.has("query_pre_attn_scalar")) a.scale = 1.0F / 16;
    if (s.is_gguf() && c.n_layers == large) {
      a.scale = 1.0F / std::sqrt(static_cast<float>(c.hidden_size) / static_cast<float>(a.n_heads));
    }
  }
}

nn::Config read_granite(const Source& s, nn::WeightTable& w, const Defaults& defaults) {
  nn::Config c = read_decoder(s, w, defaults);
  c.embedding_scale =
      static_cast<float>(s.number({"embedding_multiplier", "%.embedding_scale"}).value_or(1));
  c.residual_scale =
      static_cast<float>(s.number({"residual_multiplier", "%.residual_scale"}).value_or(1));
  c.logits_scale =
      static_cast<float>(1 / s.number({"logits_scaling", "%.logit_scale"}).value_or(1));
  const auto scale = s.number({"attention_multiplier", "%.attention.scale"});
  each_attention(c, [&](nn::AttentionConfig& a) {
    if (scale) a.scale = static_cast<float>(*scale);
    a.rope.interleaved = s.is_gguf();  // ggml's converter permutes q and k
  });
  each_moe(c, [](nn::MoeConfig& moe) {
    moe.router.scoring = ops::RouterSpec::Scoring::top_k_then_softmax;
  });
  return c;
}

void read_clamps(nn::Config& c, const Source& s, const Key& experts, const Key& shared) {
  using Numbers = std::vector<double>;
  const Numbers of_experts = s.numbers(experts).value_or(Numbers{});
  const Numbers of_shared = s.numbers(shared).value_or(Numbers{});
  const auto at = [](const Numbers& list, size_t i) {
    return static_cast<float>(i < list.size() ? list[i] : 0);
  };
  for (size_t i = 0; i < c.layers.size(); ++i) {
    c.layers[i].mlp().clamp = at(of_shared, i);
    if (nn::MoeConfig* const moe = c.layers[i].moe()) {
      moe->shared_clamp = at(of_shared, i);
      moe->expert.clamp = at(of_experts, i);
    }
  }
}

void read_minicpm_scales(nn::Config& c, const Source& s) {
  const double depth = s.number({"scale_depth", ""}).value_or(1);
  const double base = s.number({"dim_model_base", ""}).value_or(0);
  const double embedding = s.number({"scale_emb", "%.embedding_scale"}).value_or(1);
  const auto residual = s.number({"", "%.residual_scale"});
  const auto logits = s.number({"", "%.logit_scale"});
  c.embedding_scale = static_cast<float>(embedding);
  c.residual_scale =
      static_cast<float>(residual.value_or(depth / std::sqrt(static_cast<double>(c.n_layers))));
  if (logits) {
    c.logits_scale = static_cast<float>(1 / *logits);
  } else if (base > 0 && !s.is_gguf()) {
    c.logits_scale = static_cast<float>(base / static_cast<double>(c.hidden_size));
  }
}

void stretch_where_not_sliding(nn::Config& c) {
  each_attention(c, [](nn::AttentionConfig& a) {
    if (a.sliding_window > 0) a.rope = {.dims = a.rope.dims, .theta = a.rope.theta};
  });
}

void rotate_where_sliding(nn::Config& c) {
  bool some = false;
  each_attention(c, [&](const nn::AttentionConfig& a) { some |= a.sliding_window > 0; });
  each_attention(c, [&](nn::AttentionConfig& a) {
    if (some && a.sliding_window == 0) a.rope = {.kind = nn::RopeConfig::Kind::none};
  });
}

}  // namespace sluice::models
