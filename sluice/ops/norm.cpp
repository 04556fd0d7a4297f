#include "sluice/ops/norm.h"

#include "sluice/ops/kernel_op.h"

namespace sluice::ops {
namespace {

/// Rows of `width` elements for a thread to take at a time.
int64_t rows_grain(int64_t width) { return std::max<int64_t>(1, 16384 / width); }

}  // namespace

mx::array rms_norm(const Context& context, const mx::array& x, const Vector& weight,
                   float weight_offset, float eps) {
  const auto width = static_cast<int64_t>(weight->size());
  const auto n = static_cast<int64_t>(x.size()) / width;
  return kernel_op(
      context, "rms_norm", {x}, x.shape(),
      [&context, weight, weight_offset, eps, width, n](const Buffers& b) {
        context.pool.parallel_for(n, rows_grain(width), [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            context.kernels.rms_norm(b.input(0) + i * width, weight->data(), weight_offset, width,
                                     eps, b.output() + i * width);
          }
        });
      },
      0);
}

mx::array layer_norm(const Context& context, const mx::array& x, const Vector& weight,
                     const Vector& bias, float eps) {
  const auto width = static_cast<int64_t>(x.shape(-1));
  const auto n = static_cast<int64_t>(x.size()) / width;
  return kernel_op(
      context, "layer_norm", {x}, x.shape(),
      [&context, weight, bias, eps, width, n](const Buffers& b) {
        context.pool.parallel_for(n, rows_grain(width), [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            context.kernels.layer_norm(b.input(0) + i * width, weight->data(),
                                       bias ? bias->data() : nullptr, width, eps,
                                       b.output() + i * width);
          }
        });
      },
      0);
}

}  // namespace sluice::ops
