#pragma once

#include "sluice/nn/linear.h"
#include "sluice/nn/norm.h"

namespace sluice::nn {

/// down(act(gate(x)) * up(x)), without norm or residual: a shared expert, or the inside of GatedMlp.
/// gate and up may be fused in the files (gate_up_proj).
class GatedUnit {
 public:
  GatedUnit(const Config& c, const Weights& w, int64_t intermediate_size);
  mx::array operator()(const mx::array& x, const Step& step) const;

 private:
  std::vector<Linear> gate_up_;
  Linear down_;
  kernels::Activation activation_;
  float limit_;
};

/// A layer's dense feed-forward block with its norms and residual.
class GatedMlp {
 public:
  GatedMlp(const Config& c, const Weights& w, BlockNorms norms)
      : norms_(std::move(norms)), unit_(c, w, c.intermediate_size) {}
  mx::array operator()(const mx::array& x, const Step& step) const;

 private:
  BlockNorms norms_;
  GatedUnit unit_;
};

}  // namespace sluice::nn
