#pragma once

#include <memory>

#include "sluice/nn/attention.h"
#include "sluice/nn/model.h"
#include "sluice/nn/moe.h"

namespace sluice::models {

/// The layer most families have: a norm before attention and one before the feed-forward block,
/// which is dense or sparse as the config says of the layer.
struct PreNormLayer {
  nn::Attention attention;
  nn::FeedForward feed_forward;

  PreNormLayer(const nn::Config& c, const nn::Weights& w, int64_t i)
      : attention(c, w["self_attn"], {.pre = nn::rms_norm(w["input_layernorm"], c), .post = {}}, i),
        feed_forward(c, w["mlp"],
                     {.pre = nn::rms_norm(w["post_attention_layernorm"], c), .post = {}}, i) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return feed_forward(attention(x, step), step);
  }
};

/// Norms before and after both blocks (Gemma 2 and 3).
struct SandwichNormLayer {
  nn::Attention attention;
  nn::GatedMlp mlp;

  SandwichNormLayer(const nn::Config& c, const nn::Weights& w, int64_t i)
      : attention(c, w["self_attn"],
                  {.pre = nn::rms_norm(w["input_layernorm"], c),
                   .post = nn::rms_norm(w["post_attention_layernorm"], c)},
                  i),
        mlp(c, w["mlp"],
            {.pre = nn::rms_norm(w["pre_feedforward_layernorm"], c),
             .post = nn::rms_norm(w["post_feedforward_layernorm"], c)}) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return mlp(attention(x, step), step);
  }
};

/// Decoders of these layers, for Family::make.
std::unique_ptr<nn::Model> make_pre_norm(nn::Config config, const nn::Weights& weights);
std::unique_ptr<nn::Model> make_sandwich_norm(nn::Config config, const nn::Weights& weights);

}  // namespace sluice::models
