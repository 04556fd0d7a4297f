#include "sluice/nn/lightning.h"

#include <cmath>

#include "sluice/nn/linear.h"
#include "sluice/ops/elementwise.h"

namespace sluice::nn {

LightningAttention::LightningAttention(const Config& c, const LightningConfig& a, const Weights& w,
                                       BlockNorms norms, Demands& demands)
    : norms_(std::move(norms)), rope_(a.rope), n_norm_groups_(a.n_norm_groups) {
  const int64_t width = a.n_heads * a.head_dim;
  for (int64_t i = 0; i < 3; ++i)
    in_.push_back(linear_part(w["qkv_proj"], c.hidden_size, 3 * width, i * width, width));
  in_.push_back(linear(w["g_proj"], c.hidden_size, width));
  query_ = {.norm = w["q_norm"]["weight"].optional_vector(a.head_dim),
            .norm_eps = c.rms_norm_eps,
            .interleaved = rope_.interleaved()};
  key_ = query_;
  key_.norm = w["k_norm"]["weight"].optional_vector(a.head_dim);
  norm_ = {w["g_norm"]["weight"].vector(width), 0.0F, c.rms_norm_eps};
  out_ = linear(w["o_proj"], width, c.hidden_size);
  spec_ = std::make_shared<const ops::LinearAttentionSpec>(
      ops::LinearAttentionSpec{.n_heads = a.n_heads,
                               .head_dim = a.head_dim,
                               .decay = std::make_shared<const std::vector<float>>(a.decays),
                               .scale = 1.0F / std::sqrt(static_cast<float>(a.head_dim))});
  slot_ = demands.kept.add_recurrence(spec_->state_floats());
  demands.add_rows(8 * width, width);
}

mx::array LightningAttention::operator()(const mx::array& x, const Step& step) const {
  const ops::Context& context = step.context;
  const std::vector<mx::array> in = ops::project(context, x, norms_.pre, in_);
  const auto angles = rope_.angles(step);
  const mx::array q = ops::transform_heads(context, in[0], spec_->n_heads, query_, angles);
  const mx::array k = ops::transform_heads(context, in[1], spec_->n_heads, key_, angles);
  const mx::array y = ops::linear_attention(context, q, k, in[2], spec_, step.layout.layers[slot_],
                                            step.states(slot_));
  const mx::array gated =
      ops::norm_and_gate(context, y, in[3], norm_, kernels::Activation::sigmoid, n_norm_groups_);
  return ops::project_onto(context, gated, out_, norms_.end(), x);
}

}  // namespace sluice::nn
