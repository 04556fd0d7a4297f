#pragma once

#include <memory>

#include "sluice/nn/mixer.h"
#include "sluice/nn/model.h"
#include "sluice/nn/moe.h"
#include "sluice/ops/elementwise.h"

namespace sluice::models {

/// The layer most families have: a norm before what mixes tokens and one before the feed-forward block,
/// whichever of both the config gives the layer.
struct PreNormLayer {
  nn::Mixer mixer;
  nn::FeedForward feed_forward;

  PreNormLayer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : mixer(c, c.layers[static_cast<size_t>(i)], w,
              {.pre = nn::norm(w["input_layernorm"], c), .post = {}, .scale = c.residual_scale},
              demands),
        feed_forward(c, c.layers[static_cast<size_t>(i)], w["mlp"],
                     {.pre = nn::norm(w["post_attention_layernorm"], c),
                      .post = {},
                      .scale = c.residual_scale},
                     i, demands) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return feed_forward(mixer(x, step), step);
  }
};

/// Both blocks from the same x, each with a norm of its own or both with one: x + mixer(x) + mlp(x) (GPT-J, Command R).
struct ParallelLayer {
  nn::Mixer mixer;
  nn::FeedForward feed_forward;

  ParallelLayer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : mixer(c, c.layers[static_cast<size_t>(i)], w,
              {.pre = nn::norm(w["input_layernorm"], c), .post = {}}, demands),
        feed_forward(
            c, c.layers[static_cast<size_t>(i)], w["mlp"],
            {.pre = nn::norm(w[w["post_attention_layernorm"].has() ? "post_attention_layernorm"
                                                                   : "input_layernorm"],
                             c),
             .post = {}},
            i, demands) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return ops::add(step.context, mixer(x, step), feed_forward.alone(x, step));
  }
};

/// Norms after both blocks only (OLMo 2).
struct PostNormLayer {
  nn::Mixer mixer;
  nn::FeedForward feed_forward;

  PostNormLayer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : mixer(c, c.layers[static_cast<size_t>(i)], w,
              {.pre = {}, .post = nn::norm(w["post_attention_layernorm"], c)}, demands),
        feed_forward(c, c.layers[static_cast<size_t>(i)], w["mlp"],
                     {.pre = {}, .post = nn::norm(w["post_feedforward_layernorm"], c)}, i,
                     demands) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return feed_forward(mixer(x, step), step);
  }
};

/// Norms before and after both blocks (Gemma 2 and 3).
struct SandwichNormLayer {
  nn::Mixer mixer;
  nn::FeedForward feed_forward;

  SandwichNormLayer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : mixer(c, c.layers[static_cast<size_t>(i)], w,
              {.pre = nn::norm(w["input_layernorm"], c),
               .post = nn::norm(w["post_attention_layernorm"], c)},
              demands),
        feed_forward(c, c.layers[static_cast<size_t>(i)], w["mlp"],
                     {.pre = nn::norm(w["pre_feedforward_layernorm"], c),
                      .post = nn::norm(w["post_feedforward_layernorm"], c)},
                     i, demands) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return feed_forward(mixer(x, step), step);
  }
};

}  // namespace sluice::models
