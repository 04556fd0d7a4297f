#include "sluice/convert/gguf_check.h"

#include <fmt/format.h>

#include <cmath>

#include "sluice/base/error.h"

namespace sluice::convert {
namespace {

/// Floats by five digits: a GGUF's are of 32 bits, config.json's are decimal.
std::string rope_text(const nn::RopeConfig& r) {
  if (r.kind == nn::RopeConfig::Kind::none) return "none";
  const bool is_table = r.kind == nn::RopeConfig::Kind::llama3 || !r.divisors.empty();
  const bool stretches = !is_table && r.kind != nn::RopeConfig::Kind::plain;
  std::string text = fmt::format("{} of base {:.5g}", r.dims, r.theta);
  if (stretches) {
    text += fmt::format(" kind {} by {:.5g} from {} ({:.5g} {:.5g} {} {:.5g} {:.5g} {:.5g})",
                        static_cast<int>(r.kind), r.factor, r.original_positions, r.beta_fast,
                        r.beta_slow, r.truncate, r.mscale, r.mscale_all_dim, r.attention_factor);
  }
  return text;
}

std::string attention_text(const nn::AttentionConfig& a) {
  return fmt::format(
      "{} heads of {} with {} for keys, window {}, scale {:.5g}, soft cap {:.5g}, RoPE {}",
      a.n_heads, a.head_dim, a.n_kv_heads, a.sliding_window, a.scale, a.softcap, rope_text(a.rope));
}

std::string feed_forward_text(const nn::LayerConfig& layer) {
  const nn::MlpConfig& mlp = layer.mlp();
  std::string text = fmt::format("{} wide, activation {}", mlp.intermediate_size,
                                 static_cast<int>(mlp.activation));
  if (const nn::MoeConfig* const moe = layer.moe()) {
    using Scoring = ops::RouterSpec::Scoring;
    // Softmax over all with the chosen ones renormalized is softmax over the chosen ones.
    const auto& r = moe->router;
    const bool renormalizes = r.renormalize || r.scoring == Scoring::top_k_then_softmax;
    text += fmt::format(
        ", {} experts, {} a token, shared {} wide, sigmoid {}, renormalized {}, times {:.5g}, "
        "groups {} of {}",
        moe->n_experts, r.n_experts_per_tok, moe->shared_intermediate_size,
        r.scoring == Scoring::sigmoid_then_top_k, renormalizes, r.weight_scale, r.n_groups_used,
        r.n_groups);
  }
  return text;
}

std::vector<std::string> lines_of(const nn::Config& c) {
  std::vector<std::string> lines = {
      fmt::format("vocabulary {}, {} layers of {}, eps {:.4g}, centered norms {}", c.vocab_size,
                  c.n_layers, c.hidden_size, c.rms_norm_eps, c.centered_norms),
      fmt::format("scales {:.5g} {:.5g}, soft cap {:.5g}", c.residual_scale, c.logits_scale,
                  c.logits_softcap)};
  for (size_t i = 0; i < c.layers.size(); ++i) {
    const nn::LayerConfig& layer = c.layers[i];
    lines.push_back(fmt::format("layer {}: {}; {}", i,
                                layer.attention() ? attention_text(*layer.attention()) : "other",
                                feed_forward_text(layer)));
  }
  return lines;
}

}  // namespace

void check_says_the_same(const SourceModel& model, const PlannedFile& gguf) {
  const SourceModel read = open_gguf_header(gguf.header, gguf.name, gguf.bytes);
  // Gemma's rounded to bfloat16 in directories and not in a GGUF, as the references have it.
  constexpr float kRounding = 1.0F / 256;
  const float scale = read.config.embedding_scale / model.config.embedding_scale;
  if (std::abs(scale - 1) > kRounding) {
    fail(ErrorKind::unsupported, "{}: a GGUF cannot say it: embeddings are multiplied by {}",
         model.path.string(), model.config.embedding_scale);
  }
  const auto wanted = lines_of(model.config), got = lines_of(read.config);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (i < got.size() && wanted[i] == got[i]) continue;
    fail(ErrorKind::unsupported, "{}: a GGUF cannot say it: '{}' would be read as '{}'",
         model.path.string(), wanted[i], i < got.size() ? got[i] : "nothing");
  }
}

}  // namespace sluice::convert
