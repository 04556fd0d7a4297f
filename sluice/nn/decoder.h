#pragma once

#include <mlx/ops.h>
#include <mlx/transforms.h>

#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/nn/embedding.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/model.h"
#include "sluice/nn/norm.h"
#include "sluice/ops/elementwise.h"
#include "sluice/ops/row_lengths.h"

namespace sluice::nn {

/// What layers get beside x, where there is nothing.
struct NoInputs {
  NoInputs(const Config&, const Weights&, Demands&) {}
  std::nullptr_t operator()(const mx::array&, const Step&) const { return nullptr; }
};

/// Embedding, a stack of layers, a final norm, the output projection: the frame that decoder-only models share.
/// Layer is constructed as Layer(config, weights of "model.layers.i", i, demands), once for each loop, where i counts on;
/// and called as layer(x, step); where Inputs is given, as
/// layer(x, step, what Inputs(config, weights of "model", demands) gave for the embedded tokens and the step).
/// Where Inputs has begin(x, step) and end(x, step, what it gave), they make of embedded tokens what the first layer gets, and of
/// what the last one gives what the final norm gets.
template <typename Layer, typename Inputs = NoInputs>
class Decoder : public Model {
 public:
  Decoder(Config config, const Weights& w)
      : config_(std::move(config)),
        demands_(config_.kv, config_.hidden_size, config_.n_layers),
        embedding_(w["model"], config_),
        inputs_(config_, w["model"].before_layers(), demands_),
        norm_(norm(w["model"]["norm"], config_)) {
    for (int64_t i = 0; i < config_.n_layers * config_.n_loops; ++i) {
      const Weights of_layer = w["model"]["layers"].layer(i % config_.n_layers);
      layers_.emplace_back(config_, of_layer, i, demands_);
    }
    head_ = {config_.tie_word_embeddings
                 ? embedding_.projection()
                 : linear(w["lm_head"], config_.hidden_size, config_.vocab_size)};
  }

  std::optional<mx::array> forward(std::span<const Step> steps) const override {
    using Given = std::invoke_result_t<const Inputs&, const mx::array&, const Step&>;
    std::vector<mx::array> rows;
    std::vector<Given> given;
    for (const Step& step : steps) {
      rows.push_back(embedding_(step.tokens, step));
      if constexpr (requires { inputs_.begin(rows.back(), step); })
        rows.back() = inputs_.begin(rows.back(), step);
      given.push_back(inputs_(rows.back(), step));
    }
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      for (size_t i = 0; i < steps.size(); ++i) {
        if constexpr (std::is_same_v<Inputs, NoInputs>) {
          rows[i] = layers_[layer](rows[i], steps[i]);
        } else {
          rows[i] = layers_[layer](rows[i], steps[i], given[i]);
        }
        if (is_normed_after(layer)) rows[i] = ops::rms_norm(steps[i].context, rows[i], norm_);
        if (steps[i].evaluate_layers) {
          mx::eval(rows[i]);
        } else if (layer < kFirstLayers) {
          steps[i].first_layers = rows[i];
        }
      }
    }
    for (size_t i = 0; i < steps.size(); ++i) {
      if constexpr (requires { inputs_.end(rows[i], steps[i], given[i]); })
        rows[i] = inputs_.end(rows[i], steps[i], given[i]);
    }
    std::vector<mx::array> wanted;
    bool any_hidden = false;
    for (size_t i = 0; i < steps.size(); ++i) {
      const Step& step = steps[i];
      if (!step.logit_rows.empty()) wanted.push_back(rows_of(rows[i], step.logit_rows, step));
      if (!step.hidden_rows.empty())
        step.hidden = ops::rms_norm(step.context, rows_of(rows[i], step.hidden_rows, step), norm_);
      if (!step.raw_rows.empty()) step.raw = rows_of(rows[i], step.raw_rows, step);
      any_hidden = any_hidden || step.hidden || step.raw;
    }
    if (wanted.empty()) {
      if (!any_hidden) mx::eval(rows);
      return std::nullopt;
    }
    rows.clear();
    const ops::Context& context = steps[0].context;
    const mx::array x =
        wanted.size() == 1 ? wanted[0] : mx::concatenate(std::move(wanted), 0, context.stream);
    mx::array logits = ops::logits(context, x, norm_, head_[0]);
    if (config_.normed_head)
      logits = ops::divide_by_lengths(context, logits, head_[0].weight, head_lengths_);
    if (config_.logits_scale != 1) logits = ops::scale(context, logits, config_.logits_scale);
    if (!config_.never_chosen.empty())
      logits = ops::hide_columns(context, logits, config_.never_chosen);
    return config_.logits_softcap > 0 ? ops::soft_cap(context, logits, config_.logits_softcap)
                                      : logits;
  }

  const KvLayout& kv_layout() const override { return demands_.kept; }
  const StepDemands& step_demands() const override { return demands_.step; }
  const Config& config() const override { return config_; }

 private:
  /// A step that is begun: MLX lets the host go about 50 primitives ahead of the stream, a layer has four.
  static constexpr size_t kFirstLayers = 8;

  /// Of a loop's last layer; after the last one of all the logits' norm comes anyway.
  bool is_normed_after(size_t layer) const {
    return config_.norm_every_loop && layer + 1 < layers_.size() &&
           (layer + 1) % static_cast<size_t>(config_.n_layers) == 0;
  }
  static mx::array rows_of(const mx::array& all, const std::vector<int>& of, const Step& step) {
    const bool whole = of.size() == static_cast<size_t>(all.shape(0));
    return whole ? all : ops::take_rows(step.context, all, of);
  }

  Config config_;
  Demands demands_;
  Embedding embedding_;
  Inputs inputs_;
  std::vector<Layer> layers_;
  ops::Norm norm_;
  std::vector<ops::Projection> head_;  // one
  std::shared_ptr<ops::RowLengths> head_lengths_ = std::make_shared<ops::RowLengths>();
};

}  // namespace sluice::nn
