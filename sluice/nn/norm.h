#pragma once

#include <optional>

#include "sluice/nn/config.h"
#include "sluice/nn/weights.h"
#include "sluice/ops/norm.h"

namespace sluice::nn {

/// The weights of a norm that has none.
ops::Vector ones(int64_t n);

/// The norm of hidden_size elements whose weights are at `w`, of the kind that the config says.
ops::Norm norm(const Weights& w, const Config& c);

/// The norm whose result is `factor` times as much, where there is one.
std::optional<ops::Norm> scaled(std::optional<ops::Norm> norm, float factor);

/// The norms around a block: x + post(block(pre(x))). Either may be absent: most models have only
/// `pre`, OLMo 2 only `post`, Gemma 2 and 3 both. scale: of what is added to x, after post (Granite).
struct BlockNorms {
  std::optional<ops::Norm> pre, post;
  float scale = 1.0F;

  ops::BlockEnd end() const { return {post, scale}; }
};

}  // namespace sluice::nn
