#pragma once

#include "sluice/nn/step.h"
#include "sluice/nn/weights.h"

namespace sluice::nn {

/// y = x @ weight^T (+ bias, when the files have one).
class Linear {
 public:
  /// Throws Error(bad_model) unless `w` holds a [out, in] matrix.
  Linear(const Weights& w, int64_t in, int64_t out)
      : weight_(w.matrix(out, in)), bias_(w.optional_vector("bias", out)) {}
  Linear(residency::Weight weight, ops::Vector bias)
      : weight_(std::move(weight)), bias_(std::move(bias)) {}

  /// Rows [begin, begin + out) of a fused projection [total, in].
  static Linear part(const Weights& w, int64_t in, int64_t total, int64_t begin, int64_t out);

  /// x: [T, in]; returns [T, out].
  mx::array operator()(const mx::array& x, const Step& step) const {
    return ops::linear(step.context, x, weight_, bias_);
  }

 private:
  residency::Weight weight_;
  ops::Vector bias_;
};

}  // namespace sluice::nn
