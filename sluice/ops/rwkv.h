#pragma once

#include "sluice/ops/linear.h"
#include "sluice/ops/sequence_kv.h"

namespace sluice::ops {

/// RWKV-7's time mixing (Peng et al. 2025, arXiv:2503.14456), as mlx-lm 0.32.2 models/rwkv7.py: for each head, with
/// a = sigmoid(a), w = exp(-0.606531 sigmoid(w)), n = normed(k key_scale), k = k (1 + (a - 1) key_mix):
/// S = S diag(w) - (S n) (n a)^T + v k^T, y = norm(S r) + (sum of r k bonus) v.
struct Rwkv7Spec {
  int64_t n_heads = 0, head_dim = 0;
  Vector key_scale, key_mix, bonus;  ///< [n_heads, head_dim] each: k_k, k_a, r_k
  Norm norm;  ///< a layer norm over a head, of which weight and bias are all heads'

  int64_t width() const { return n_heads * head_dim; }
  int64_t state_floats() const { return width() * head_dim; }
};

/// What r, w, k, v and a are: float32 [T, width].
struct Rwkv7Inputs {
  mx::array r, w, k, v, a;
};

/// Returns [T, width]. The state is [n_heads, head_dim, head_dim].
mx::array rwkv7(const Context& context, const Rwkv7Inputs& in,
                std::shared_ptr<const Rwkv7Spec> spec, const KvLayerLayout& layout, KvView states);

/// x + (previous - x) share, where `share` is a row. x, previous: float32 [T, share->size()].
mx::array mix_rows(const Context& context, const mx::array& x, const mx::array& previous,
                   const Vector& share);

/// x + (other - x) sigmoid(share), all of one shape.
mx::array mix_by_sigmoid(const Context& context, const mx::array& x, const mx::array& other,
                         const mx::array& share);

}  // namespace sluice::ops
