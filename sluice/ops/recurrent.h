#pragma once

#include "sluice/ops/linear.h"
#include "sluice/ops/sequence_kv.h"

// What a token takes over from the one before it by a state of fixed size, instead of by keys and values. Tokens are
// computed one after the other, so that a result depends on no chunk.
namespace sluice::ops {

/// y[t] = act(bias + sum over j of weight[j] * x[t - n_taps + 1 + j]), each channel by itself; zeros before the start.
struct CausalConvSpec {
  int64_t n_channels = 0, n_taps = 0;
  Vector weight;  ///< [n_taps, n_channels]: the last tap is the token's own
  Vector bias;    ///< [n_channels], or null
  std::optional<kernels::Activation> activation;

  int64_t state_floats() const { return (n_taps - 1) * n_channels; }
};

/// x: float32 [T, n_channels]; returns the same shape. The state is the last n_taps - 1 rows of x.
mx::array causal_conv(const Context& context, const mx::array& x,
                      std::shared_ptr<const CausalConvSpec> spec, const KvLayerLayout& layout,
                      KvView states);

/// Gated delta rule (Yang et al. 2024, arXiv:2412.06464), as mlx-lm 0.32.2 models/gated_delta.py: for each value head
/// g = exp(decay softplus(a + dt_bias)), beta = beta_scale sigmoid(b), S = g S + beta (v - g S k) k^T, y = S q.
/// by_channel (Kimi delta attention, arXiv:2510.26692): a and g have an element for each of a key's.
struct GatedDeltaSpec {
  int64_t n_key_heads = 0, n_value_heads = 0, key_dim = 0, value_dim = 0;
  /// Value head h has key head h mod n_key_heads, instead of h n_key_heads / n_value_heads.
  bool tiled_heads = false;
  Vector decay;    ///< [n_value_heads]: -exp(A_log)
  Vector dt_bias;  ///< [n_value_heads], by_channel [n_value_heads, key_dim]
  bool by_channel = false;
  /// Below 0: g = exp(least_log_decay sigmoid(-decay (a + dt_bias))) instead.
  float least_log_decay = 0;
  float beta_scale = 1;
  float norm_eps = 1e-6F;  ///< of queries and keys, which are normed per head

  int64_t key_floats() const { return n_key_heads * key_dim; }
  int64_t value_floats() const { return n_value_heads * value_dim; }
  int64_t row_floats() const { return 2 * key_floats() + value_floats(); }
  int64_t decay_floats() const { return n_value_heads * (by_channel ? key_dim : 1); }
  int64_t state_floats() const { return n_value_heads * value_dim * key_dim; }
};

/// qkv: float32 [T, row_floats]: queries, keys, values; a: [T, decay_floats]; b: [T, n_value_heads]. Returns
/// [T, value_floats].
/// The state is [n_value_heads, value_dim, key_dim].
mx::array gated_delta(const Context& context, const mx::array& qkv, const mx::array& a,
                      const mx::array& b, std::shared_ptr<const GatedDeltaSpec> spec,
                      const KvLayerLayout& layout, KvView states);

/// Mamba-2's recurrence (Dao & Gu 2024, arXiv:2405.21060), as mlx-lm 0.32.2 models/ssm.py: for each head
/// dt = clip(softplus(dt + dt_bias)), S = exp(dt decay) S + dt x B^T, y = S C + D x.
struct Mamba2Spec {
  int64_t n_heads = 0, head_dim = 0, state_dim = 0, n_groups = 1;
  Vector decay, dt_bias, d;  ///< [n_heads]; decay: -exp(A_log)
  float least_dt = 0, most_dt = 0;

  int64_t inner() const { return n_heads * head_dim; }
  int64_t row_floats() const { return inner() + 2 * n_groups * state_dim; }
  int64_t state_floats() const { return inner() * state_dim; }
};

/// xbc: float32 [T, row_floats]: x, then B and C of each group; dt: [T, n_heads]. Returns [T, inner].
/// The state is [n_heads, head_dim, state_dim].
mx::array mamba2(const Context& context, const mx::array& xbc, const mx::array& dt,
                 std::shared_ptr<const Mamba2Spec> spec, const KvLayerLayout& layout,
                 KvView states);

/// Linear attention with a fixed decay (Qin et al. 2024, arXiv:2401.04658): for each head S = decay S + v k^T,
/// y = scale S q.
struct LinearAttentionSpec {
  int64_t n_heads = 0, head_dim = 0;
  Vector decay;  ///< [n_heads]
  float scale = 1;

  int64_t width() const { return n_heads * head_dim; }
  int64_t state_floats() const { return width() * head_dim; }
};

/// q, k, v: float32 [T, width]; returns the same shape. The state is [n_heads, head_dim, head_dim].
mx::array linear_attention(const Context& context, const mx::array& q, const mx::array& k,
                           const mx::array& v, std::shared_ptr<const LinearAttentionSpec> spec,
                           const KvLayerLayout& layout, KvView states);

}  // namespace sluice::ops
