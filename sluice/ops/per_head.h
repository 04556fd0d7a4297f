#pragma once

#include "sluice/ops/linear.h"

namespace sluice::ops {

/// A matrix for each head, all of them in one: head h has rows [h stride + begin, h stride + begin + n_rows).
struct PerHead {
  residency::Weight weight;
  int64_t n_heads = 0;
  int64_t stride = 0, begin = 0, n_rows = 0;
  bool transposed = false;  ///< y = W^T x instead of W x

  int64_t in() const { return transposed ? n_rows : weight.cols(); }
  int64_t out() const { return transposed ? weight.cols() : n_rows; }
};

/// Each head's part of a row times its matrix. x: float32 [T, n_heads * in]; returns [T, n_heads * out].
mx::array project_per_head(const Context& context, const mx::array& x,
                           std::shared_ptr<const PerHead> matrices);

}  // namespace sluice::ops
