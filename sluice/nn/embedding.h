#pragma once

#include "sluice/nn/norm.h"
#include "sluice/nn/step.h"
#include "sluice/nn/weights.h"

namespace sluice::nn {

/// A table of token vectors, also usable as the output projection (tied embeddings), and where the config says so
/// another of positions, whose vectors are added.
class Embedding {
 public:
  /// w: "model".
  Embedding(const Weights& w, const Config& c);

  /// tokens: int32 [T]; returns [T, hidden_size]. Positions beyond the table's set the step's error.
  mx::array operator()(const mx::array& tokens, const Step& step) const;
  /// The table as the output projection.
  ops::Projection projection() const { return {table_, nullptr, rotation_}; }

 private:
  residency::Weight table_;
  ops::Rotation rotation_;
  std::optional<residency::Weight> positions_;
  std::optional<ops::Norm> norm_;
  float scale_;
};

}  // namespace sluice::nn
