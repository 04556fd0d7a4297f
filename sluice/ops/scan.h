#pragma once

#include "sluice/ops/linear.h"
#include "sluice/ops/sequence_kv.h"

// Recurrences of channels that do not see each other. Tokens are computed one after the other.
namespace sluice::ops {

/// Mamba's selective scan (Gu & Dao 2023, arXiv:2312.00752), as mlx-lm 0.32.2 models/mamba.py: for each channel
/// dt = softplus(dt), s = exp(dt decay) s + dt x B, y = s C + d x.
struct SelectiveScanSpec {
  int64_t n_channels = 0, state_dim = 0;
  Vector decay;  ///< [n_channels, state_dim]: -exp(A_log)
  Vector d;      ///< [n_channels]

  int64_t state_floats() const { return n_channels * state_dim; }
};

/// x, dt: float32 [T, n_channels]; b, c: [T, state_dim]. Returns x's shape. The state is [n_channels, state_dim].
mx::array selective_scan(const Context& context, const mx::array& x, const mx::array& dt,
                         const mx::array& b, const mx::array& c,
                         std::shared_ptr<const SelectiveScanSpec> spec, const KvLayerLayout& layout,
                         KvView states);

/// Griffin's real-gated linear recurrent unit (De et al. 2024, arXiv:2402.19427), as mlx-lm 0.32.2
/// models/recurrent_gemma.py: a = exp(log_decay sigmoid(r + recurrent_bias)),
/// s = a s + sqrt(1 - a^2) sigmoid(i + input_bias) x, y = s; without the root at a sequence's first token.
struct GatedRecurrenceSpec {
  int64_t n_channels = 0;
  Vector log_decay;                   ///< [n_channels], -8 softplus(a_param)
  Vector input_bias, recurrent_bias;  ///< [n_channels] each
};

/// x, i, r: float32 [T, n_channels]; returns the same shape. The state is [n_channels].
mx::array gated_recurrence(const Context& context, const mx::array& x, const mx::array& i,
                           const mx::array& r, std::shared_ptr<const GatedRecurrenceSpec> spec,
                           const KvLayerLayout& layout, KvView states);

}  // namespace sluice::ops
