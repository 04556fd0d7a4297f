#include "sluice/ops/linear.h"

#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/ops/kernel_op.h"

namespace sluice::ops {
namespace {

/// Rows handed to a thread at a time: enough work to outweigh the hand-over, few enough to balance.
int64_t row_grain(int64_t rows, int n_threads) {
  return std::clamp<int64_t>(rows / (static_cast<int64_t>(n_threads) * 8), 16, 512);
}

}  // namespace

void parallel_matmul(const Context& context, const kernels::Matrix& w, const float* x,
                     int64_t n_tokens, float* y, int64_t y_stride) {
  context.pool.parallel_for(
      w.rows, row_grain(w.rows, context.pool.size()), [&](int64_t begin, int64_t end) {
        context.kernels.matmul(w, begin, end, x, w.cols, n_tokens, y, y_stride);
      });
}

mx::array linear(const Context& context, const mx::array& x, const residency::Weight& w,
                 const Vector& bias) {
  const int n_tokens = x.shape(0);
  const auto rows = static_cast<int>(w.rows());
  return kernel_op(
      context, "linear", {x}, {n_tokens, rows}, [&context, w, bias, n_tokens](const Buffers& b) {
        const kernels::Matrix matrix = context.weights.acquire(w);
        float* y = b.output();
        parallel_matmul(context, matrix, b.input(0), n_tokens, y, matrix.rows);
        if (!bias) return;
        for (int64_t t = 0; t < n_tokens; ++t) {
          context.kernels.add_scaled(bias->data(), 1.0F, matrix.rows, y + t * matrix.rows);
        }
      });
}

mx::array embedding(const Context& context, const mx::array& tokens, const residency::Weight& table,
                    float scale) {
  const int n_tokens = tokens.shape(0);
  const auto cols = static_cast<int>(table.cols());
  return kernel_op(context, "embedding", {tokens}, {n_tokens, cols},
                   [&context, table, scale, n_tokens](const Buffers& b) {
                     const kernels::Matrix matrix = context.weights.acquire(table);
                     for (int64_t t = 0; t < n_tokens; ++t) {
                       const int32_t id = b.ids(0)[t];
                       if (id < 0 || id >= matrix.rows) {
                         fail(ErrorKind::bad_request, "token {} is not in the vocabulary of {}", id,
                              matrix.rows);
                       }
                       float* row = b.output() + t * matrix.cols;
                       context.kernels.dequantize_row(matrix, id, row);
                       if (scale == 1.0F) continue;
                       for (int64_t i = 0; i < matrix.cols; ++i) row[i] *= scale;
                     }
                   });
}

}  // namespace sluice::ops
