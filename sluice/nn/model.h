#pragma once

#include <mlx/array.h>

#include "sluice/nn/step.h"

namespace sluice::nn {

/// A loaded model: tokens in, logits out. Says what is computed; where weights live, what is cached and
/// what is batched are not its business.
class Model {
 public:
  virtual ~Model() = default;
  /// Builds the graph of one step; returns float32 [step.logit_rows.size(), vocab_size].
  virtual mx::array forward(const Step& step) const = 0;
  virtual const KvLayout& kv_layout() const = 0;
  virtual const Config& config() const = 0;
};

}  // namespace sluice::nn
