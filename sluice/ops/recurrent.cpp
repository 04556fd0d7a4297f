#include "sluice/ops/recurrent.h"

#include <algorithm>
#include <cmath>

#include "sluice/ops/kernel_op.h"
#include "sluice/ops/states.h"

namespace sluice::ops {
namespace {

/// Channels that a thread takes at a time.
constexpr int64_t kConvChannels = 256;

/// The channels [begin, begin + n) of one sequence. Its rows of x and y are n_channels wide.
void convolve(const kernels::KernelTable& table, const CausalConvSpec& spec, const State& state,
              int64_t begin, int64_t n, const float* x, int64_t n_tokens, float* y) {
  const int64_t width = spec.n_channels, n_before = spec.n_taps - 1;
  // The rows before the first token, which the new state may overwrite.
  thread_local std::vector<float> memory;
  memory.assign(static_cast<size_t>(n_before * n), 0.0F);
  const auto* const before = reinterpret_cast<const float*>(state.before);
  for (int64_t j = 0; before != nullptr && j < n_before; ++j)
    std::copy_n(before + j * width + begin, n, memory.data() + j * n);
  const auto row = [&](int64_t t) {  // of x; t >= -n_before
    return t < 0 ? memory.data() + (t + n_before) * n : x + t * width + begin;
  };
  for (int64_t t = 0; t < n_tokens; ++t) {
    float* const out = y + t * width + begin;
    if (spec.bias) {
      std::copy_n(spec.bias->data() + begin, n, out);
    } else {
      std::fill_n(out, n, 0.0F);
    }
    for (int64_t j = 0; j <= n_before; ++j)
      table.add_product(spec.weight->data() + j * width + begin, row(t - n_before + j), n, out);
    if (spec.activation) table.activate(*spec.activation, out, n, out);
  }
  const auto keep = [&](std::byte* to, int64_t after) {
    for (int64_t j = 0; j < n_before; ++j)
      std::copy_n(row(after - n_before + j), n, reinterpret_cast<float*>(to) + j * width + begin);
  };
  if (state.kept != nullptr) keep(state.kept, state.kept_after);
  keep(state.after, n_tokens);
}

/// g of n values of a head's a; bias: as many.
void decays_of(const kernels::KernelTable& table, const GatedDeltaSpec& spec, float decay,
               const float* a, const float* bias, int64_t n, float* g) {
  for (int64_t i = 0; i < n; ++i) {
    const float x = a[i] + bias[i];
    g[i] =
        spec.least_log_decay < 0 ? spec.least_log_decay * sigmoid(-decay * x) : decay * softplus(x);
  }
  table.activate(kernels::Activation::exp, g, n, g);
}

/// One token of one value head.
void delta_step(const kernels::KernelTable& table, const GatedDeltaSpec& spec, const Buffers& b,
                int64_t row, int64_t head, float* state) {
  thread_local std::vector<float> memory;
  memory.resize(static_cast<size_t>(3 * spec.key_dim));
  float *const query = memory.data(), *const key = query + spec.key_dim;
  float* const decays = key + spec.key_dim;
  const float unit = 1.0F / std::sqrt(static_cast<float>(spec.key_dim));
  // Normed to length 1, and queries scaled by key_dim^-1/2 besides.
  const auto norm = [&](const float* from, float scale, float* to) {
    table.rms_norm(from, nullptr, 0, spec.key_dim, spec.norm_eps * unit * unit, to);
    for (int64_t i = 0; i < spec.key_dim; ++i) to[i] *= scale;
  };
  const int64_t key_head =
      spec.tiled_heads ? head % spec.n_key_heads : head * spec.n_key_heads / spec.n_value_heads;
  const float* const qkv = b.input(0) + row * spec.row_floats();
  norm(qkv + key_head * spec.key_dim, unit * unit, query);
  norm(qkv + spec.key_floats() + key_head * spec.key_dim, unit, key);
  const auto at = static_cast<size_t>(head);
  const int64_t n_decays = spec.by_channel ? spec.key_dim : 1;
  decays_of(table, spec, (*spec.decay)[at],
            b.input(1) + row * spec.decay_floats() + head * n_decays,
            spec.dt_bias->data() + head * n_decays, n_decays, decays);
  const float b_of = b.input(2)[row * spec.n_value_heads + head];
  table.state_step({.state = state,
                    .n_rows = spec.value_dim,
                    .n_cols = spec.key_dim,
                    .decay = decays[0],
                    .decays = spec.by_channel ? decays : nullptr,
                    .key = key,
                    .query = query,
                    .value = qkv + 2 * spec.key_floats() + head * spec.value_dim,
                    .beta = spec.beta_scale * sigmoid(b_of),
                    .delta = true,
                    .out = b.output() + row * spec.value_floats() + head * spec.value_dim});
}

/// One token of one head.
void mamba2_step(const kernels::KernelTable& table, const Mamba2Spec& spec, const Buffers& b,
                 int64_t row, int64_t head, float* state) {
  const auto at = static_cast<size_t>(head);
  const float* const xbc = b.input(0) + row * spec.row_floats();
  const float* const x = xbc + head * spec.head_dim;
  const int64_t group = head * spec.n_groups / spec.n_heads;
  const float* const key = xbc + spec.inner() + group * spec.state_dim;
  const float dt = std::clamp(softplus(b.input(1)[row * spec.n_heads + head] + (*spec.dt_bias)[at]),
                              spec.least_dt, spec.most_dt);
  float* const out = b.output() + row * spec.inner() + head * spec.head_dim;
  table.state_step({.state = state,
                    .n_rows = spec.head_dim,
                    .n_cols = spec.state_dim,
                    .decay = std::exp(dt * (*spec.decay)[at]),
                    .key = key,
                    .query = key + spec.n_groups * spec.state_dim,
                    .value = x,
                    .beta = dt,
                    .out = out});
  table.add_scaled(x, (*spec.d)[at], spec.head_dim, out);
}

/// One token of one head.
void linear_step(const kernels::KernelTable& table, const LinearAttentionSpec& spec,
                 const Buffers& b, int64_t row, int64_t head, float* state) {
  const int64_t at = row * spec.width() + head * spec.head_dim;
  float* const out = b.output() + at;
  table.state_step({.state = state,
                    .n_rows = spec.head_dim,
                    .n_cols = spec.head_dim,
                    .decay = (*spec.decay)[static_cast<size_t>(head)],
                    .key = b.input(1) + at,
                    .query = b.input(0) + at,
                    .value = b.input(2) + at,
                    .out = out});
  for (int64_t i = 0; i < spec.head_dim; ++i) out[i] *= spec.scale;
}

}  // namespace

mx::array causal_conv(const Context& context, const mx::array& x,
                      std::shared_ptr<const CausalConvSpec> spec, const KvLayerLayout& layout,
                      KvView states) {
  return kernel_op(
      context, "causal_conv", {x}, x.shape(),
      [&context, spec = std::move(spec), layout, states = std::move(states)](const Buffers& b) {
        const int64_t width = spec->n_channels;
        const int64_t n_parts = (width + kConvChannels - 1) / kConvChannels;
        context.pool.parallel_for(
            n_parts * std::ssize(*states), 1, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) {
                const SequenceKv& s = (*states)[static_cast<size_t>(i / n_parts)];
                const int64_t first = i % n_parts * kConvChannels;
                convolve(context.kernels, *spec, state_of(s, layout), first,
                         std::min(kConvChannels, width - first), b.input(0) + s.first_row * width,
                         s.n_tokens, b.output() + s.first_row * width);
              }
            });
      });
}

mx::array gated_delta(const Context& context, const mx::array& qkv, const mx::array& a,
                      const mx::array& b, std::shared_ptr<const GatedDeltaSpec> spec,
                      const KvLayerLayout& layout, KvView states) {
  const mx::Shape shape{qkv.shape(0), static_cast<int>(spec->value_floats())};
  const StateParts heads{spec->state_floats(), spec->value_dim * spec->key_dim};
  return kernel_op(context, "gated_delta", {qkv, a, b}, shape,
                   [&context, spec = std::move(spec), layout, states = std::move(states),
                    heads](const Buffers& buffers) {
                     for_each_state(context, *states, layout, heads,
                                    [&](StateToken token, int64_t head, float* state) {
                                      delta_step(context.kernels, *spec, buffers, token.row, head,
                                                 state);
                                    });
                   });
}

mx::array mamba2(const Context& context, const mx::array& xbc, const mx::array& dt,
                 std::shared_ptr<const Mamba2Spec> spec, const KvLayerLayout& layout,
                 KvView states) {
  const mx::Shape shape{xbc.shape(0), static_cast<int>(spec->inner())};
  const StateParts heads{spec->state_floats(), spec->head_dim * spec->state_dim};
  return kernel_op(context, "mamba2", {xbc, dt}, shape,
                   [&context, spec = std::move(spec), layout, states = std::move(states),
                    heads](const Buffers& buffers) {
                     for_each_state(context, *states, layout, heads,
                                    [&](StateToken token, int64_t head, float* state) {
                                      mamba2_step(context.kernels, *spec, buffers, token.row, head,
                                                  state);
                                    });
                   });
}

mx::array linear_attention(const Context& context, const mx::array& q, const mx::array& k,
                           const mx::array& v, std::shared_ptr<const LinearAttentionSpec> spec,
                           const KvLayerLayout& layout, KvView states) {
  const StateParts heads{spec->state_floats(), spec->head_dim * spec->head_dim};
  return kernel_op(context, "linear_attention", {q, k, v}, q.shape(),
                   [&context, spec = std::move(spec), layout, states = std::move(states),
                    heads](const Buffers& buffers) {
                     for_each_state(context, *states, layout, heads,
                                    [&](StateToken token, int64_t head, float* state) {
                                      linear_step(context.kernels, *spec, buffers, token.row, head,
                                                  state);
                                    });
                   });
}

}  // namespace sluice::ops
