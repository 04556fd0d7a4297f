#pragma once

#include <optional>

#include "sluice/nn/step.h"
#include "sluice/nn/weights.h"
#include "sluice/ops/norm.h"

namespace sluice::nn {

/// Root-mean-square norm over hidden_size.
class RmsNorm {
 public:
  RmsNorm(const Weights& w, const Config& c)
      : weight_(w.vector("weight", c.hidden_size)),
        offset_(c.norm_weight_offset),
        eps_(c.rms_norm_eps) {}

  mx::array operator()(const mx::array& x, const Step& step) const {
    return ops::rms_norm(step.context, x, weight_, offset_, eps_);
  }

 private:
  ops::Vector weight_;
  float offset_, eps_;
};

/// The norms around a block: x + post(block(pre(x))). Either may be absent: most models have only
/// `pre`, OLMo 2 only `post`, Gemma 2 and 3 both.
struct BlockNorms {
  std::optional<RmsNorm> pre, post;

  mx::array before(const mx::array& x, const Step& step) const { return pre ? (*pre)(x, step) : x; }
  mx::array after(const mx::array& y, const Step& step) const {
    return post ? (*post)(y, step) : y;
  }
};

}  // namespace sluice::nn
