#pragma once

#include <cstddef>
#include <vector>

#include "sluice/nn/demands.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/step.h"
#include "sluice/ops/ngrams.h"

namespace sluice::nn {

/// Embeddings of n-grams beside those of tokens (LongCat-Flash-Lite); the last tokens are carried as a state. A Decoder's Inputs,
/// of which layers get nothing.
class Ngrams {
 public:
  /// w: "model".
  Ngrams(const Config& c, const Weights& w, Demands& demands);

  std::nullptr_t operator()(const mx::array&, const Step&) const { return nullptr; }
  /// x: [T, hidden_size], the tokens' embeddings; returns the mean of them and of their n-grams'. Moves the sequences' states on.
  mx::array begin(mx::array x, const Step& step) const;

 private:
  int64_t vocab_size_;
  std::vector<ops::NgramTable> shapes_;
  std::vector<residency::Weight> tables_;
  std::vector<ops::Projection> projections_;
  size_t slot_;
};

}  // namespace sluice::nn
