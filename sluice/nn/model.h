#pragma once

#include <mlx/array.h>

#include <optional>
#include <span>

#include "sluice/nn/demands.h"
#include "sluice/nn/step.h"

namespace sluice::nn {

/// A loaded model: tokens in, logits out. Says what is computed; where weights live, what is cached and
/// what is batched are not its business.
class Model {
 public:
  virtual ~Model() = default;
  /// Computes steps that follow each other, all of them in a layer before the next layer runs, so that its weights
  /// are needed once. Returns the logits that they want, float32 [all their logit_rows, vocab_size], and sets
  /// Step::hidden and Step::raw; where they want none, all of it was computed.
  virtual std::optional<mx::array> forward(std::span<const Step> steps) const = 0;
  virtual const KvLayout& kv_layout() const = 0;
  virtual const StepDemands& step_demands() const = 0;
  virtual const Config& config() const = 0;
};

}  // namespace sluice::nn
