#pragma once

#include <vector>

#include "sluice/nn/demands.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/step.h"
#include "sluice/ops/streams.h"

namespace sluice::nn {

/// Alternating updates (Baykal et al. 2023, arXiv:2301.13310): a layer predicts all residual streams, runs the active one, and
/// corrects all by what came out.
class AltUp {
 public:
  /// w: "...altup".
  AltUp(const Config& c, const ops::Streams& streams, const Weights& w);

  /// x: [T, n * hidden_size], the streams side by side; returns the same shape.
  mx::array predict(const mx::array& x, const Step& step) const;
  /// y: [T, hidden_size], what the layer made of the active stream that was predicted.
  mx::array correct(const mx::array& predicted, const mx::array& y, const Step& step) const;
  /// [T, hidden_size].
  mx::array active(const mx::array& x, const Step& step) const;
  /// The active stream times the file's factors.
  mx::array scaled(const mx::array& x, const Step& step) const;

 private:
  mx::array modalities(const mx::array& x, const Step& step) const;

  ops::Streams streams_;
  ops::Norm router_norm_;
  std::vector<ops::Projection> router_;  // one
  ops::Vector predict_, correct_, scale_;
};

/// How an embedding becomes streams, and they one row again.
class StreamEnds {
 public:
  /// w: "model". Matrices are a list, or (GGUF) one above the other.
  StreamEnds(const Config& c, const ops::Streams& streams, const Weights& w, Demands& demands);

  /// x: [T, hidden_size]; returns [T, n * hidden_size].
  mx::array begin(const mx::array& x, const Step& step) const;
  /// The other way round.
  mx::array end(const mx::array& x, const Step& step) const;

 private:
  ops::Streams streams_;
  std::vector<ops::Projection> apart_, together_;
};

}  // namespace sluice::nn
