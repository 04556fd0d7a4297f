#include "sluice/ops/recurrent.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "sluice/ops/kernel_op.h"

namespace sluice::ops {
namespace {

using kernels::kKvBlockTokens;

/// Of one layer and sequence: the state before the step's tokens, where the one after them goes, and the one after some
/// of them that is kept beside it.
struct State {
  const float* before = nullptr;  ///< null: zeros
  float* after = nullptr;
  float* kept = nullptr;  ///< null: none
  int64_t kept_after = 0;
};

float* floats_of(const std::shared_ptr<residency::KvBlock>& block, const KvLayerLayout& layout) {
  return block ? reinterpret_cast<float*>(block->data() + layout.offset) : nullptr;
}

State state_of(const SequenceKv& s, const KvLayerLayout& layout) {
  const int64_t end = s.position + s.n_tokens, last = (end - 1) / kKvBlockTokens;
  State state{.before = floats_of(s.copy_from, layout),
              .after = floats_of(s.blocks[static_cast<size_t>(last)], layout)};
  const int64_t boundary = last * kKvBlockTokens;
  if (boundary > s.position) {
    state.kept = floats_of(s.blocks[static_cast<size_t>(last - 1)], layout);
    state.kept_after = boundary - s.position;
  }
  return state;
}

/// Part [begin, begin + n) of a state is at `to` what it is at `from`, where that is not null: else zeros.
void carry(const float* from, int64_t begin, int64_t n, float* to) {
  if (from == to) return;
  if (from == nullptr) {
    std::fill_n(to + begin, n, 0.0F);
  } else {
    std::copy_n(from + begin, n, to + begin);
  }
}

/// Channels that a thread takes at a time.
constexpr int64_t kConvChannels = 256;

/// The channels [begin, begin + n) of one sequence. Its rows of x and y are n_channels wide.
void convolve(const kernels::KernelTable& table, const CausalConvSpec& spec, const State& state,
              int64_t begin, int64_t n, const float* x, int64_t n_tokens, float* y) {
  const int64_t width = spec.n_channels, n_before = spec.n_taps - 1;
  // The rows before the first token, which the new state may overwrite.
  thread_local std::vector<float> memory;
  memory.assign(static_cast<size_t>(n_before * n), 0.0F);
  for (int64_t j = 0; state.before != nullptr && j < n_before; ++j)
    std::copy_n(state.before + j * width + begin, n, memory.data() + j * n);
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
  const auto keep = [&](float* to, int64_t after) {
    for (int64_t j = 0; j < n_before; ++j)
      std::copy_n(row(after - n_before + j), n, to + j * width + begin);
  };
  if (state.kept != nullptr) keep(state.kept, state.kept_after);
  keep(state.after, n_tokens);
}

float softplus(float x) { return x > 20 ? x : std::log1p(std::exp(x)); }

/// One token of one value head.
void delta_step(const kernels::KernelTable& table, const GatedDeltaSpec& spec, const Buffers& b,
                int64_t row, int64_t head, float* state) {
  thread_local std::vector<float> memory;
  memory.resize(static_cast<size_t>(2 * spec.key_dim));
  float *const query = memory.data(), *const key = query + spec.key_dim;
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
  const float a_of = b.input(1)[row * spec.n_value_heads + head];
  const float b_of = b.input(2)[row * spec.n_value_heads + head];
  table.state_step({.state = state,
                    .n_rows = spec.value_dim,
                    .n_cols = spec.key_dim,
                    .decay = std::exp((*spec.decay)[at] * softplus(a_of + (*spec.dt_bias)[at])),
                    .key = key,
                    .query = query,
                    .value = qkv + 2 * spec.key_floats() + head * spec.value_dim,
                    .beta = 1.0F / (1.0F + std::exp(-b_of)),
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

/// step(row, head, state) for every head and token of every sequence, a head's tokens in order; each head's state has
/// so many floats.
template <typename Step>
void for_each_head(const Context& context, const std::vector<SequenceKv>& sequences,
                   const KvLayerLayout& layout, int64_t n_heads, int64_t floats, const Step& step) {
  context.pool.parallel_for(n_heads * std::ssize(sequences), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const SequenceKv& s = sequences[static_cast<size_t>(i / n_heads)];
      const State state = state_of(s, layout);
      const int64_t head = i % n_heads, at = head * floats;
      carry(state.before, at, floats, state.after);
      for (int64_t t = 0; t < s.n_tokens; ++t) {
        if (state.kept != nullptr && t == state.kept_after)
          carry(state.after, at, floats, state.kept);
        step(s.first_row + t, head, state.after + at);
      }
    }
  });
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
  return kernel_op(context, "gated_delta", {qkv, a, b}, shape,
                   [&context, spec = std::move(spec), layout,
                    states = std::move(states)](const Buffers& buffers) {
                     for_each_head(context, *states, layout, spec->n_value_heads,
                                   spec->value_dim * spec->key_dim,
                                   [&](int64_t row, int64_t head, float* state) {
                                     delta_step(context.kernels, *spec, buffers, row, head, state);
                                   });
                   });
}

mx::array mamba2(const Context& context, const mx::array& xbc, const mx::array& dt,
                 std::shared_ptr<const Mamba2Spec> spec, const KvLayerLayout& layout,
                 KvView states) {
  const mx::Shape shape{xbc.shape(0), static_cast<int>(spec->inner())};
  return kernel_op(context, "mamba2", {xbc, dt}, shape,
                   [&context, spec = std::move(spec), layout,
                    states = std::move(states)](const Buffers& buffers) {
                     for_each_head(context, *states, layout, spec->n_heads,
                                   spec->head_dim * spec->state_dim,
                                   [&](int64_t row, int64_t head, float* state) {
                                     mamba2_step(context.kernels, *spec, buffers, row, head, state);
                                   });
                   });
}

}  // namespace sluice::ops
