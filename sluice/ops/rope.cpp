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

mx::array transform_heads(const Context& context, const mx::array& x,
                          const HeadTransform& transform, const std::optional<mx::array>& angles) {
  const auto n_tokens = static_cast<int64_t>(x.shape(0));
  const auto n_heads = static_cast<int64_t>(x.shape(1)) / transform.head_dim;
  const auto n_pairs = angles ? static_cast<int64_t>(angles->shape(2)) : 0;
  std::vector<mx::array> inputs{x};
  if (angles) inputs.push_back(*angles);
  return kernel_op(
      context, "transform_heads", std::move(inputs), x.shape(),
      [&context, transform, n_tokens, n_heads, n_pairs](const Buffers& b) {
        const int64_t head_dim = transform.head_dim;
        context.pool.parallel_for(
            n_tokens, std::max<int64_t>(1, 8192 / (n_heads * head_dim)),
            [&](int64_t begin, int64_t end) {
              for (int64_t i = begin * n_heads; i < end * n_heads; ++i) {
                const float* in = b.input(0) + i * head_dim;
                float* head = b.output() + i * head_dim;
                if (transform.norm) {
                  context.kernels.rms_norm(in, transform.norm->data(), transform.norm_offset,
                                           head_dim, transform.norm_eps, head);
                } else if (in != head) {
                  std::memcpy(head, in, static_cast<size_t>(head_dim) * sizeof(float));
                }
                if (n_pairs == 0) continue;
                const float* cos = b.input(1) + (i / n_heads) * n_pairs;
                context.kernels.rope(head, cos, cos + n_tokens * n_pairs, n_pairs,
                                     transform.interleaved);
              }
            });
      },
      0);
}

}  // namespace sluice::ops
