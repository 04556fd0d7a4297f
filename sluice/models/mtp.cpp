#include "sluice/models/mtp.h"

#include <fmt/format.h>
#include <mlx/transforms.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sluice/base/error.h"
#include "sluice/nn/linear.h"

namespace sluice::models {
namespace {

/// How far the middles of two layers' norm weights lie apart at most, where both are stored alike.
constexpr double kSameNorms = 0.5;

bool attends(const nn::LayerConfig& layer) {
  return layer.attention() != nullptr ||
         std::holds_alternative<nn::LatentAttentionConfig>(layer.mixer);
}

/// The model's last layer that attends; n_layers: none does.
int64_t like_layer(const nn::Config& c) {
  for (int64_t i = c.n_layers - 1; i >= 0; --i) {
    if (attends(c.layers[static_cast<size_t>(i)])) return i;
  }
  return c.n_layers;
}

/// Its keys and values are few: they are read as they are.
nn::Config with_layer(nn::Config c) {
  c.layers.push_back(c.layers[static_cast<size_t>(like_layer(c))]);
  c.kv.code = {};
  return c;
}

double middle(const ops::Vector& values) {
  return std::accumulate(values->begin(), values->end(), 0.0) /
         static_cast<double>(std::max<size_t>(1, values->size()));
}

/// Of files whose layers were converted and whose drafting layer was perhaps not: the offset that its norms need to be
/// like the model's. Nothing where neither is.
std::optional<float> norm_offset(const nn::Config& c, const nn::Weights& layers) {
  const auto of = [&](int64_t i) {
    return layers.layer(i)["input_layernorm"]["weight"].vector(c.hidden_size);
  };
  const ops::Vector ours = of(c.n_layers), models = of(like_layer(c));
  if (ours->empty() || c.norm_weight_offset != 0) return c.norm_weight_offset;  // or headers alone
  for (const float offset : {0.0F, 1.0F}) {
    if (std::abs(middle(ours) + offset - middle(models)) <= kSameNorms) return offset;
  }
  return std::nullopt;
}

nn::Weights scope_of(const nn::Config& c, const nn::Weights& w) {
  return w["model"]["layers"].layer(c.n_layers);
}

/// Of its own where the files have that, otherwise the model's.
nn::Embedding embedding_of(const nn::Config& c, const nn::Weights& w) {
  const nn::Weights own = scope_of(c, w);
  return {own["embed_tokens"].has() ? own : w["model"], c};
}

ops::Norm norm_of(const nn::Config& c, const nn::Weights& w) {
  const nn::Weights own = scope_of(c, w)["shared_head"]["norm"];
  return nn::norm(own.has() ? own : w["model"]["norm"], c);
}

ops::Projection head_of(const nn::Config& c, const nn::Weights& w, const nn::Embedding& embedding) {
  const nn::Weights own = scope_of(c, w)["shared_head"]["head"];
  if (!own.has() && c.tie_word_embeddings) return embedding.projection();
  return nn::linear(own.has() ? own : w["lm_head"], c.hidden_size, c.vocab_size);
}

}  // namespace

MtpLayer::MtpLayer(nn::Config config, const MtpForm& form, const nn::Weights& w)
    : config_(with_layer(std::move(config))),
      state_first_(form.state_first),
      hands_on_normed_(form.hands_on_normed),
      demands_(config_.kv, config_.hidden_size, 1),
      embedding_(embedding_of(config_, w)),
      of_token_(nn::norm(scope_of(config_, w)["enorm"], config_)),
      of_state_(nn::norm(scope_of(config_, w)["hnorm"], config_)),
      joined_{nn::linear(scope_of(config_, w)["eh_proj"], 2 * config_.hidden_size,
                         config_.hidden_size)},
      layer_(config_, scope_of(config_, w), config_.n_layers, demands_),
      norm_(norm_of(config_, w)),
      head_{head_of(config_, w, embedding_)} {}

std::optional<MtpLayer::Said> MtpLayer::operator()(const mx::array& states,
                                                   const nn::Step& step) const {
  const ops::Context& context = step.context;
  const mx::array token = ops::rms_norm(context, embedding_(step.tokens, step), of_token_);
  const mx::array state = ops::rms_norm(context, states, of_state_);
  const mx::array both = state_first_ ? ops::join_heads(context, state, token, 1)
                                      : ops::join_heads(context, token, state, 1);
  // Rows before those that want logits are there for their keys and values alone.
  mx::array x = layer_.mixer(ops::project(context, both, std::nullopt, joined_)[0], step);
  if (step.logit_rows.empty()) {
    mx::eval(x);
    return std::nullopt;
  }
  if (std::ssize(step.logit_rows) < x.shape(0)) x = ops::take_rows(context, x, step.logit_rows);
  x = layer_.feed_forward(x, step);
  return Said{ops::logits(context, x, norm_, head_[0]),
              hands_on_normed_ ? ops::rms_norm(context, x, norm_) : x};
}

void name_mtp(nn::WeightTable& table, const MtpForm& form, int64_t n_layers) {
  for (const TensorName& name : form.names)
    table.move(name.theirs, fmt::format("model.layers.{}.{}", n_layers, name.ours));
}

std::unique_ptr<MtpLayer> make_mtp(const nn::Config& config, const MtpForm& form,
                                   nn::WeightTable& table) {
  const nn::Weights w(table);
  if (like_layer(config) == config.n_layers || !scope_of(config, w)["eh_proj"].has())
    return nullptr;
  nn::Config c = config;
  try {
    if (form.norms_may_differ) {
      const auto offset = norm_offset(c, w["model"]["layers"]);
      if (!offset) return nullptr;
      c.norm_weight_offset = *offset;
    }
    return std::make_unique<MtpLayer>(std::move(c), form, w);
  } catch (const Error& error) {
    const bool is_other =
        error.kind() == ErrorKind::bad_model || error.kind() == ErrorKind::unsupported;
    if (!is_other) throw;
    return nullptr;
  }
}

}  // namespace sluice::models
