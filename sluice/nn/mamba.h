#pragma once

#include "sluice/nn/demands.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/step.h"
#include "sluice/nn/weights.h"
#include "sluice/ops/recurrent.h"
#include "sluice/ops/scan.h"

namespace sluice::nn {

/// Mamba (Gu & Dao 2023, arXiv:2312.00752) with its norms and residual: [x | z] = in_proj(pre(x)); x through a causal
/// convolution and SiLU; [dt | B | C] = x_proj(x), each normed or not; the selective scan with dt_proj(dt); its result
/// gated by SiLU(z), out_proj.
class Mamba {
 public:
  /// w: the module, which has in_proj.
  Mamba(const Config& c, const MambaConfig& m, const Weights& w, BlockNorms norms,
        Demands& demands);

  /// x: [T, hidden_size]; returns the same shape. Moves the sequences' states on.
  mx::array operator()(const mx::array& x, const Step& step) const;

 private:
  BlockNorms norms_;
  std::vector<ops::Projection> in_;                     // x, z
  std::vector<ops::Projection> selects_;                // dt, B, C
  std::optional<ops::Norm> dt_norm_, b_norm_, c_norm_;  // none, or all
  std::vector<ops::Projection> dt_;                     // one
  std::shared_ptr<const ops::CausalConvSpec> conv_;
  std::shared_ptr<const ops::SelectiveScanSpec> scan_;
  ops::Projection out_;
  size_t conv_slot_, scan_slot_;
};

}  // namespace sluice::nn
