#pragma once

#include "sluice/nn/step.h"
#include "sluice/nn/weights.h"

namespace sluice::nn {

/// A table of token vectors, also usable as the output projection (tied embeddings).
class Embedding {
 public:
  Embedding(const Weights& w, const Config& c)
      : table_(w.table(c.vocab_size, c.hidden_size)), scale_(c.embedding_scale) {}

  /// tokens: int32 [T]; returns [T, hidden_size].
  mx::array operator()(const mx::array& tokens, const Step& step) const {
    return ops::embedding(step.context, tokens, table_, scale_);
  }
  /// The table as the output projection.
  ops::Projection projection() const { return {table_, nullptr}; }

 private:
  residency::Weight table_;
  float scale_;
};

}  // namespace sluice::nn
