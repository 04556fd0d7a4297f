#include "sluice/nn/embedding.h"

#include "sluice/nn/linear.h"
#include "sluice/ops/elementwise.h"

namespace sluice::nn {

Embedding::Embedding(const Weights& w, const Config& c)
    : table_(w["embed_tokens"].table(c.vocab_size, c.hidden_size)),
      rotation_(rotation(w["embed_tokens"], c.hidden_size)),
      scale_(c.embedding_scale) {
  if (c.learned_positions > 0)
    positions_ = w["embed_positions"].table(c.learned_positions, c.hidden_size);
  if (c.embedding_norm) norm_ = ops::Norm{ones(c.hidden_size), 0.0F, c.rms_norm_eps};
}

mx::array Embedding::operator()(const mx::array& tokens, const Step& step) const {
  mx::array x = ops::embedding(step.context, tokens, table_, scale_);
  if (rotation_.signs) x = ops::rotate_back(step.context, x, rotation_);
  if (positions_) {
    const std::vector<int32_t> ids(step.positions->begin(), step.positions->end());
    const mx::array positions(ids.data(), tokens.shape(), mx::int32);
    x = ops::add(step.context, x, ops::embedding(step.context, positions, *positions_, 1.0F));
  }
  return norm_ ? ops::rms_norm(step.context, x, *norm_) : x;
}

}  // namespace sluice::nn
