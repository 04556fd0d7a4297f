#include "sluice/models/per_layer_inputs.h"

#include <mlx/ops.h>

#include <cmath>

#include "sluice/base/error.h"
#include "sluice/ops/elementwise.h"

namespace sluice::models {

PerLayerInputs::PerLayerInputs(const nn::Config& c, const nn::Weights& w, nn::Demands& demands) {
  const nn::Weights table = w["embed_tokens_per_layer"];
  if (!table.has()) return;
  const int64_t all = w["per_layer_model_projection"].shape()[0];
  width_ = all / c.n_layers;
  table_ = table.table(table.shape()[0], all);
  lacks_some_ = table_.rows() < c.vocab_size;
  projection_ = {nn::linear(w["per_layer_model_projection"], c.hidden_size, all)};
  norm_ = {w["per_layer_projection_norm"]["weight"].vector(width_), 0.0F, c.rms_norm_eps};
  scale_ = 1.0F / std::sqrt(static_cast<float>(c.hidden_size));
  demands.add_rows(3 * all, 0);
}

std::optional<mx::array> PerLayerInputs::operator()(const mx::array& x,
                                                    const nn::Step& step) const {
  if (projection_.empty()) return std::nullopt;
  const ops::Context& context = step.context;
  const float of_table = std::sqrt(static_cast<float>(width_));
  mx::array tokens = step.tokens;
  if (lacks_some_) {
    const mx::array n(static_cast<int>(table_.rows()));
    tokens = mx::where(mx::less(tokens, n, context.stream), tokens, mx::array(0), context.stream);
  }
  const mx::array own = ops::embedding(context, tokens, table_, of_table);
  const mx::array made =
      ops::scale(context, ops::project(context, x, std::nullopt, projection_)[0], scale_);
  const mx::array sum = ops::add(context, ops::rms_norm(context, made, norm_), own);
  return ops::scale(context, sum, std::sqrt(0.5F));
}

mx::array input_of_layer(const nn::Step& step, const std::optional<mx::array>& inputs, int64_t i,
                         int64_t width) {
  const int64_t given = inputs ? inputs->shape(1) : 0;
  if ((i + 1) * width > given)
    fail(ErrorKind::bad_model, "layer {} wants {} inputs of its own, all layers have {}", i, width,
         given);
  return ops::take_columns(step.context, *inputs, {{i * width, width}});
}

}  // namespace sluice::models
