#include "sluice/ops/norm.h"

#include <algorithm>

#include "sluice/ops/kernel_op.h"

namespace sluice::ops {

void norm_rows(const Context& context, const Norm& norm, const float* x, int64_t n, float* y) {
  const int64_t width = norm.width();
  const int64_t grain = std::max<int64_t>(1, 16384 / width);
  context.pool.parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      norm(context.kernels, x + i * width, y + i * width, i % norm.n_heads);
  });
}

mx::array rms_norm(const Context& context, const mx::array& x, const Norm& norm) {
  const auto n = static_cast<int64_t>(x.size()) / norm.width();
  return kernel_op(
      context, "rms_norm", {x}, x.shape(),
      [&context, norm, n](const Buffers& b) {
        norm_rows(context, norm, b.input(0), n, b.output());
      },
      0);
}

}  // namespace sluice::ops
