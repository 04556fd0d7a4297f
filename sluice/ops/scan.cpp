#include "sluice/ops/scan.h"

#include <algorithm>
#include <cmath>

#include "sluice/ops/kernel_op.h"
#include "sluice/ops/states.h"

namespace sluice::ops {
namespace {

/// Channels that a thread takes at a time.
constexpr int64_t kChannels = 64;

/// One token of one channel, which is a row of state_dim elements.
void scan_step(const kernels::KernelTable& table, const SelectiveScanSpec& spec, const Buffers& b,
               int64_t row, int64_t channel, float* state) {
  thread_local std::vector<float> decays;
  const int64_t n = spec.state_dim, at = row * spec.n_channels + channel;
  decays.resize(static_cast<size_t>(n));
  const float dt = softplus(b.input(1)[at]), x = b.input(0)[at], value = dt * x;
  for (int64_t i = 0; i < n; ++i)
    decays[static_cast<size_t>(i)] = dt * (*spec.decay)[static_cast<size_t>(channel * n + i)];
  table.activate(kernels::Activation::exp, decays.data(), n, decays.data());
  float* const out = b.output() + at;
  table.state_step({.state = state,
                    .n_rows = 1,
                    .n_cols = n,
                    .decays = decays.data(),
                    .key = b.input(2) + row * n,
                    .query = b.input(3) + row * n,
                    .value = &value,
                    .out = out});
  *out += (*spec.d)[static_cast<size_t>(channel)] * x;
}

/// One token of one channel.
void recurrence_step(const GatedRecurrenceSpec& spec, const Buffers& b, StateToken token,
                     int64_t channel, float* state) {
  const auto c = static_cast<size_t>(channel);
  const int64_t at = token.row * spec.n_channels + channel;
  const float input = sigmoid(b.input(1)[at] + (*spec.input_bias)[c]);
  const float log_a = (*spec.log_decay)[c] * sigmoid(b.input(2)[at] + (*spec.recurrent_bias)[c]);
  const float a = std::exp(log_a);
  // 1 - a^2 without the loss of what is near 0.
  const float root = token.position == 0 ? 1.0F : std::sqrt(-std::expm1(2 * log_a));
  *state = a * *state + root * input * b.input(0)[at];
  b.output()[at] = *state;
}

}  // namespace

mx::array selective_scan(const Context& context, const mx::array& x, const mx::array& dt,
                         const mx::array& b, const mx::array& c,
                         std::shared_ptr<const SelectiveScanSpec> spec, const KvLayerLayout& layout,
                         KvView states) {
  return kernel_op(
      context, "selective_scan", {x, dt, b, c}, x.shape(),
      [&context, spec = std::move(spec), layout, states = std::move(states)](const Buffers& with) {
        const StateParts parts{spec->state_floats(), kChannels * spec->state_dim};
        for_each_state(context, *states, layout, parts,
                       [&](StateToken token, int64_t part, float* state) {
                         const int64_t first = part * kChannels;
                         const int64_t n = std::min(kChannels, spec->n_channels - first);
                         for (int64_t i = 0; i < n; ++i)
                           scan_step(context.kernels, *spec, with, token.row, first + i,
                                     state + i * spec->state_dim);
                       });
      });
}

mx::array gated_recurrence(const Context& context, const mx::array& x, const mx::array& i,
                           const mx::array& r, std::shared_ptr<const GatedRecurrenceSpec> spec,
                           const KvLayerLayout& layout, KvView states) {
  return kernel_op(
      context, "gated_recurrence", {x, i, r}, x.shape(),
      [&context, spec = std::move(spec), layout, states = std::move(states)](const Buffers& b) {
        const int64_t width = spec->n_channels;
        for_each_state(context, *states, layout, {width, kChannels},
                       [&](StateToken token, int64_t part, float* state) {
                         const int64_t first = part * kChannels;
                         const int64_t n = std::min(kChannels, width - first);
                         for (int64_t c = 0; c < n; ++c)
                           recurrence_step(*spec, b, token, first + c, state + c);
                       });
      });
}

}  // namespace sluice::ops
