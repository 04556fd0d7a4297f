#include "sluice/ops/rwkv.h"

#include <algorithm>
#include <cmath>

#include "sluice/ops/kernel_op.h"
#include "sluice/ops/states.h"

namespace sluice::ops {
namespace {

/// What a head's step takes of its token, head_dim values each.
struct HeadRows {
  float *decay, *key, *look, *erase;
};

/// The state is decayed before it is looked at, so what looks at it is divided by the decay, which is above 0.54.
/// Returns the bonus: sum of r k bonus.
float fill(const Rwkv7Spec& spec, const Buffers& b, int64_t at, int64_t head, const HeadRows& out) {
  const int64_t n = spec.head_dim;
  const auto of_head = [&](const Vector& v) { return v->data() + head * n; };
  const float *const r = b.input(0) + at, *const w = b.input(1) + at, *const k = b.input(2) + at;
  float squares = 0, bonus = 0;
  for (int64_t i = 0; i < n; ++i) {
    out.look[i] = k[i] * of_head(spec.key_scale)[i];
    squares += out.look[i] * out.look[i];
  }
  const float length = std::max(std::sqrt(squares), 1e-7F);
  for (int64_t i = 0; i < n; ++i) {
    const float a = sigmoid(b.input(4)[at + i]), normed = out.look[i] / length;
    out.decay[i] = std::exp(-0.606531F * sigmoid(w[i]));
    out.look[i] = normed / out.decay[i];
    out.erase[i] = normed * a;
    out.key[i] = k[i] * (1 + (a - 1) * of_head(spec.key_mix)[i]);
    bonus += r[i] * out.key[i] * of_head(spec.bonus)[i];
  }
  return bonus;
}

/// One token of one head.
void rwkv7_step(const kernels::KernelTable& table, const Rwkv7Spec& spec, const Buffers& b,
                int64_t row, int64_t head, float* state) {
  thread_local std::vector<float> memory;
  const int64_t n = spec.head_dim, at = row * spec.width() + head * n;
  memory.resize(static_cast<size_t>(4 * n));
  float* const m = memory.data();
  const HeadRows rows{m, m + n, m + 2 * n, m + 3 * n};
  const float bonus = fill(spec, b, at, head, rows);
  float* const out = b.output() + at;
  table.state_step({.state = state,
                    .n_rows = n,
                    .n_cols = n,
                    .decays = rows.decay,
                    .key = rows.key,
                    .query = b.input(0) + at,
                    .value = b.input(3) + at,
                    .look = rows.look,
                    .erase = rows.erase,
                    .out = out});
  table.layer_norm(out, spec.norm.weight->data() + head * n, spec.norm.bias->data() + head * n, n,
                   spec.norm.eps, out);
  table.add_scaled(b.input(3) + at, bonus, n, out);
}

}  // namespace

mx::array rwkv7(const Context& context, const Rwkv7Inputs& in,
                std::shared_ptr<const Rwkv7Spec> spec, const KvLayerLayout& layout, KvView states) {
  const StateParts heads{spec->state_floats(), spec->head_dim * spec->head_dim};
  return kernel_op(context, "rwkv7", {in.r, in.w, in.k, in.v, in.a}, in.r.shape(),
                   [&context, spec = std::move(spec), layout, states = std::move(states),
                    heads](const Buffers& b) {
                     for_each_state(context, *states, layout, heads,
                                    [&](StateToken token, int64_t head, float* state) {
                                      rwkv7_step(context.kernels, *spec, b, token.row, head, state);
                                    });
                   });
}

mx::array mix_rows(const Context& context, const mx::array& x, const mx::array& previous,
                   const Vector& share) {
  const auto width = static_cast<int64_t>(share->size()), n = static_cast<int64_t>(x.shape(0));
  return kernel_op(
      context, "mix_rows", {x, previous}, x.shape(), [&context, share, width, n](const Buffers& b) {
        context.pool.parallel_for(n, 4, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin * width; i < end * width; ++i) {
            const float from = b.input(0)[i];
            b.output()[i] =
                from + (b.input(1)[i] - from) * (*share)[static_cast<size_t>(i % width)];
          }
        });
      });
}

mx::array mix_by_sigmoid(const Context& context, const mx::array& x, const mx::array& other,
                         const mx::array& share) {
  const auto size = static_cast<int64_t>(x.size());
  return kernel_op(context, "mix_by_sigmoid", {x, other, share}, x.shape(),
                   [&context, size](const Buffers& b) {
                     context.pool.parallel_for(size, 4096, [&](int64_t begin, int64_t end) {
                       for (int64_t i = begin; i < end; ++i) {
                         const float from = b.input(0)[i];
                         b.output()[i] = from + (b.input(1)[i] - from) * sigmoid(b.input(2)[i]);
                       }
                     });
                   });
}

}  // namespace sluice::ops
