#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w);
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

constexpr std::string_view kNames[] = {"granite"};

}  // namespace

// Granite 3, arXiv:2408.13359 and IBM's cards; as mlx-lm 0.32.2 models/granite.py. Llama with four multipliers.
extern const Family granite{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models
