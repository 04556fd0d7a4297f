#include "sluice/ops/per_head.h"

#include <algorithm>

#include "sluice/ops/kernel_op.h"
#include "sluice/ops/matmul.h"

namespace sluice::ops {
namespace {

/// y = W x of one head for n tokens, whose rows lie one after the other in `x`.
void multiply_head(const Context& context, const PerHead& p, const kernels::Matrix& w,
                   const Rows& x, int64_t head, float* y) {
  multiply(context, w, nullptr, x, y + head * p.out(), p.n_heads * p.out());
}

/// y = W^T x of one head: the sum of its rows, ascending, each times the token's element.
void multiply_transposed(const Context& context, const PerHead& p, const kernels::Matrix& w,
                         const float* x, int64_t n, int64_t head, float* y) {
  thread_local std::vector<float> row;
  row.resize(static_cast<size_t>(w.cols));
  const auto out_of = [&](int64_t t) { return y + (t * p.n_heads + head) * p.out(); };
  for (int64_t t = 0; t < n; ++t) std::fill_n(out_of(t), p.out(), 0.0F);
  for_each_strip(context, w, [&](const kernels::Matrix& rows, int64_t first) {
    for (int64_t r = 0; r < rows.rows; ++r) {
      context.kernels.dequantize_row(rows, r, row.data());
      for (int64_t t = 0; t < n; ++t) {
        const float element = x[(t * p.n_heads + head) * p.in() + first + r];
        context.kernels.add_scaled(row.data(), element, p.out(), out_of(t));
      }
    }
  });
}

}  // namespace

mx::array project_per_head(const Context& context, const mx::array& x,
                           std::shared_ptr<const PerHead> matrices) {
  const auto n = static_cast<int64_t>(x.shape(0));
  const mx::Shape shape{x.shape(0), static_cast<int>(matrices->n_heads * matrices->out())};
  return kernel_op(
      context, "project_per_head", {x}, shape,
      [&context, matrices = std::move(matrices), n](const Buffers& b) {
        const PerHead& p = *matrices;
        Scratch::Frame frame(context.scratch);
        const kernels::Matrix all = context.weights.acquire(p.weight);
        Forms forms;
        forms.add(context, all);
        // Head by head, so that the tokens of one lie together.
        const NewRows rows(frame, p.transposed ? 0 : p.n_heads * n, p.in(), forms);
        context.pool.parallel_for(p.n_heads, 1, [&](int64_t begin, int64_t end) {
          for (int64_t head = begin; head < end; ++head) {
            const kernels::Matrix w = rows_of(all, head * p.stride + p.begin, p.n_rows);
            if (p.transposed) {
              multiply_transposed(context, p, w, b.input(0), n, head, b.output());
              continue;
            }
            for (int64_t t = 0; t < n; ++t) {
              rows.set(context, head * n + t, 0, p.in(),
                       b.input(0) + (t * p.n_heads + head) * p.in());
            }
            multiply_head(context, p, w, rows.rows().part(head * n, n), head, b.output());
          }
        });
      });
}

}  // namespace sluice::ops
