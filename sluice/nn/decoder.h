#pragma once

#include <mlx/ops.h>
#include <mlx/transforms.h>

#include <optional>
#include <utility>
#include <vector>

#include "sluice/nn/embedding.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/model.h"
#include "sluice/nn/norm.h"
#include "sluice/ops/elementwise.h"

namespace sluice::nn {

/// Embedding, a stack of layers, a final norm, the output projection: the frame that decoder-only models share.
/// Layer is constructed as Layer(config, weights of "model.layers.i", i) and called as layer(x, step).
template <typename Layer>
class Decoder : public Model {
 public:
  Decoder(Config config, const Weights& w)
      : config_(std::move(config)),
        kv_layout_(make_layout(config_)),
        embedding_(w["model"]["embed_tokens"], config_),
        norm_(rms_norm(w["model"]["norm"], config_)) {
    for (int64_t i = 0; i < config_.n_layers; ++i) {
      layers_.emplace_back(config_, w["model"]["layers"].layer(i), i);
    }
    head_ = {config_.tie_word_embeddings
                 ? embedding_.projection()
                 : linear(w["lm_head"], config_.hidden_size, config_.vocab_size)};
  }

  std::optional<mx::array> forward(std::span<const Step> steps) const override {
    std::vector<mx::array> rows;
    for (const Step& step : steps) rows.push_back(embedding_(step.tokens, step));
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      for (size_t i = 0; i < steps.size(); ++i) {
        rows[i] = layers_[layer](rows[i], steps[i]);
        if (steps[i].evaluate_layers) {
          mx::eval(rows[i]);
        } else if (layer < kFirstLayers) {
          steps[i].first_layers = rows[i];
        }
      }
    }
    std::vector<mx::array> wanted;
    for (size_t i = 0; i < steps.size(); ++i) {
      const std::vector<int>& of = steps[i].logit_rows;
      if (of.empty()) continue;
      const bool all = of.size() == static_cast<size_t>(rows[i].shape(0));
      wanted.push_back(all ? rows[i] : ops::take_rows(steps[i].context, rows[i], of));
    }
    if (wanted.empty()) {
      mx::eval(rows);
      return std::nullopt;
    }
    rows.clear();
    const ops::Context& context = steps[0].context;
    const mx::array x =
        wanted.size() == 1 ? wanted[0] : mx::concatenate(std::move(wanted), 0, context.stream);
    const mx::array logits = ops::logits(context, x, norm_, head_[0]);
    return config_.logits_softcap > 0 ? ops::soft_cap(context, logits, config_.logits_softcap)
                                      : logits;
  }

  const KvLayout& kv_layout() const override { return kv_layout_; }
  const Config& config() const override { return config_; }

 private:
  /// A step that is begun: MLX lets the host go about 50 primitives ahead of the stream, a layer has four.
  static constexpr size_t kFirstLayers = 8;

  static KvLayout make_layout(const Config& c) {
    std::vector<KvLayout::Layer> layers;
    for (const LayerConfig& layer : c.layers)
      layers.push_back({c.n_kv_heads, c.head_dim, layer.sliding_window});
    return KvLayout(layers, c.kv_type);
  }

  Config config_;
  KvLayout kv_layout_;
  Embedding embedding_;
  std::vector<Layer> layers_;
  ops::Norm norm_;
  std::vector<ops::Projection> head_;  // one
};

}  // namespace sluice::nn
