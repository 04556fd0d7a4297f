#pragma once

#include "sluice/nn/demands.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/step.h"
#include "sluice/nn/weights.h"
#include "sluice/ops/mlp.h"
#include "sluice/ops/recurrent.h"
#include "sluice/ops/rwkv.h"

namespace sluice::nn {

/// The token before each, zeros before the first: a causal convolution of two taps.
class TokenShift {
 public:
  TokenShift(int64_t width, Demands& demands);
  /// x: [T, width]; returns the same shape. Moves the sequences' states on.
  mx::array operator()(const mx::array& x, const Step& step) const;

 private:
  std::shared_ptr<const ops::CausalConvSpec> conv_;
  size_t slot_;
};

/// RWKV-7's time mixing (Peng et al. 2025, arXiv:2503.14456) with its norm and residual. Heads and ranks are as the files
/// have them.
class TimeMix {
 public:
  /// w: "...attn", of the layer. The first one's values are what later layers' are mixed with: a v_lora there is passed over.
  TimeMix(const Config& c, int64_t layer, const Weights& w, ops::Norm norm, Demands& demands);

  struct Result {
    mx::array x;       ///< [T, hidden_size]
    mx::array values;  ///< [T, hidden_size], of the first layer
  };
  /// first_values: the first layer's, which itself gets none. Moves the sequences' states on.
  Result operator()(const mx::array& x, const std::optional<mx::array>& first_values,
                    const Step& step) const;

 private:
  /// A projection by a low rank: one of each, or none.
  struct LowRank {
    std::vector<ops::Projection> down, up;
  };
  static LowRank load_low_rank(const Weights& w, int64_t width);

  ops::Norm norm_;
  TokenShift shift_;
  ops::Vector mix_r_, mix_w_, mix_k_, mix_v_, mix_a_, mix_g_;
  std::vector<ops::Projection> r_, k_, v_;  // one each
  LowRank decay_, a_, value_;
  std::shared_ptr<const ops::GatedMlpSpec> gate_;  // also by a low rank
  ops::Projection o_;
  std::shared_ptr<const ops::Rwkv7Spec> spec_;
  size_t slot_;
};

/// RWKV-7's channel mixing with its norm and residual: value(relu(key(x + (shifted x - x) x_k))^2).
class ChannelMix {
 public:
  /// w: "...ffn".
  ChannelMix(const Config& c, const Weights& w, ops::Norm norm, Demands& demands);
  /// x: [T, hidden_size]; returns the same shape. Moves the sequences' states on.
  mx::array operator()(const mx::array& x, const Step& step) const;

 private:
  ops::Norm norm_;
  TokenShift shift_;
  ops::Vector mix_;
  std::shared_ptr<const ops::GatedMlpSpec> mlp_;
};

}  // namespace sluice::nn
