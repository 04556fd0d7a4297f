#include "sluice/ops/mlp.h"

#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/ops/elementwise.h"
#include "sluice/ops/kernel_op.h"

namespace sluice::ops {
namespace {

const float* bias_of(const Projection& p) { return p.bias ? p.bias->data() : nullptr; }

void run_mlp(const Context& context, const GatedMlpSpec& spec, const float* x, int64_t n,
             const float* residual, float* out) {
  Scratch::Frame frame(context.scratch);
  const bool is_gated = spec.gate.weight.rows() > 0;
  const GateUp w{is_gated ? context.weights.acquire(spec.gate.weight) : kernels::Matrix{},
                 context.weights.acquire(spec.up.weight), bias_of(spec.gate), bias_of(spec.up)};
  const kernels::Matrix down = context.weights.acquire(spec.down.weight);
  const int64_t hidden = w.up.cols;
  const int64_t inner = w.up.rows;
  Forms needed, made{.clip = kActivatedClip};
  if (is_gated) needed.add(context, w.gate);
  needed.add(context, w.up);
  made.add(context, down);
  const Rows rows = make_rows(context, frame, spec.pre, x, n, hidden, needed);
  const NewRows activated(frame, n, inner, made);
  const int64_t step = rows_at_a_time(context, inner, n);
  context.pool.parallel_for((inner + step - 1) / step, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin * step; row < std::min(inner, end * step); row += step) {
      gated_part(context, spec.activation, w, rows, row, std::min(step, inner - row), activated, 0);
    }
  });
  auto* y = frame.take<float>(n * hidden);
  const Product product{down, bias_of(spec.down), y, hidden};
  multiply_all(context, {&product, 1}, activated.rows());
  finish_rows(context, spec.end, y, residual, n, hidden, out);
}

/// Projections whose inputs are rotated, each by itself, go one by one.
mx::array rotated_mlp(const Context& context, const mx::array& x, const GatedMlpSpec& spec,
                      bool residual) {
  if (!residual)
    fail(ErrorKind::unsupported, "a rotated block beside another one is not supported");
  const std::vector<mx::array> in = project(context, x, spec.pre, {spec.gate, spec.up});
  const mx::array inner = apply_gate(context, in[1], in[0], spec.activation.activation);
  return project_onto(context, inner, spec.down, spec.end, x);
}

}  // namespace

mx::array gated_mlp(const Context& context, const mx::array& x,
                    std::shared_ptr<const GatedMlpSpec> spec, bool residual) {
  if (spec->gate.rotation.signs || spec->up.rotation.signs || spec->down.rotation.signs)
    return rotated_mlp(context, x, *spec, residual);
  const auto n_tokens = static_cast<int64_t>(x.shape(0));
  return kernel_op(
      context, "gated_mlp", {x}, x.shape(),
      [&context, spec = std::move(spec), residual, n_tokens](const Buffers& b) {
        run_mlp(context, *spec, b.input(0), n_tokens, residual ? b.input(0) : nullptr, b.output());
      },
      0);
}

}  // namespace sluice::ops
