#include "sluice/ops/rope.h"

#include <cmath>
#include <cstring>

#include "sluice/ops/kernel_op.h"

namespace sluice::ops {

mx::array rope_angles(const Context& context, std::shared_ptr<const std::vector<int64_t>> positions,
                      int64_t n_pairs, float magnitude, RopeAngle angle) {
  const auto n_tokens = static_cast<int64_t>(positions->size());
  return kernel_op(
      context, "rope_angles", {}, {2, static_cast<int>(n_tokens), static_cast<int>(n_pairs)},
      [&context, positions, angle = std::move(angle), magnitude, n_tokens,
       n_pairs](const Buffers& b) {
        float* cos = b.output();
        float* sin = cos + n_tokens * n_pairs;
        context.pool.parallel_for(n_tokens * n_pairs, 512, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            // Double: float32 loses the phase beyond a few thousand positions.
            const double radians =
                angle((*positions)[static_cast<size_t>(i / n_pairs)], i % n_pairs);
            cos[i] = magnitude * static_cast<float>(std::cos(radians));
            sin[i] = magnitude * static_cast<float>(std::sin(radians));
          }
        });
      });
}

void transform_head(const kernels::KernelTable& table, const HeadTransform& transform,
                    const float* in, int64_t head_dim, const float* cos, const float* sin,
                    int64_t n_pairs, float* out) {
  const auto norm = [&](const float* from) {
    table.rms_norm(from, transform.norm->data(), transform.norm_offset, head_dim,
                   transform.norm_eps, out);
  };
  if (transform.norm && !transform.norm_last) {
    norm(in);
  } else {
    std::memcpy(out, in, static_cast<size_t>(head_dim) * sizeof(float));
  }
  float* const rotated = transform.rotates_end ? out + head_dim - 2 * n_pairs : out;
  if (n_pairs > 0) table.rope(rotated, cos, sin, n_pairs, transform.interleaved);
  if (transform.norm && transform.norm_last) norm(out);
  round_row(transform.rounding, out, head_dim);
}

mx::array transform_heads(const Context& context, const mx::array& x, int64_t n_heads,
                          const HeadTransform& transform, const std::optional<mx::array>& angles) {
  const int64_t n_tokens = x.shape(0), head_dim = x.shape(1) / n_heads;
  const int64_t n_pairs = angles ? angles->shape(2) : 0;
  std::vector<mx::array> inputs{x};
  if (angles) inputs.push_back(*angles);
  return kernel_op(
      context, "transform_heads", std::move(inputs), x.shape(),
      [&context, transform, n_tokens, n_heads, head_dim, n_pairs](const Buffers& b) {
        context.pool.parallel_for(n_tokens * n_heads, 16, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const float* const cos = n_pairs == 0 ? nullptr : b.input(1) + i / n_heads * n_pairs;
            transform_head(context.kernels, transform, b.input(0) + i * head_dim, head_dim, cos,
                           n_pairs == 0 ? nullptr : cos + n_tokens * n_pairs, n_pairs,
                           b.output() + i * head_dim);
          }
        });
      });
}

}  // namespace sluice::ops
