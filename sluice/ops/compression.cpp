#include "sluice/ops/compression.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "sluice/ops/kernel_op.h"
#include "sluice/ops/kv_rows.h"

namespace sluice::ops {
namespace {

using kernels::kKvBlockTokens;

constexpr int64_t kTokens = 4;  // so many a thread takes at a time

/// A token's kept row, or its gate.
const float* kept(const LayerRows& rows, const SequenceKv& sequence, int64_t position, bool gate) {
  const residency::KvBlock& block =
      *sequence.blocks[static_cast<size_t>(position / kKvBlockTokens)];
  const int64_t row = position % kKvBlockTokens;
  return reinterpret_cast<const float*>(gate ? rows.values(block, 0, row)
                                             : rows.keys(block, 0, row));
}

/// Of the group that begins at `first`.
void pool_group(const LayerRows& rows, const SequenceKv& sequence, int64_t first, int64_t ratio,
                float* out) {
  const int64_t width = rows.layout.head_dim;
  thread_local std::vector<float> most, sum;
  most.assign(kept(rows, sequence, first, true), kept(rows, sequence, first, true) + width);
  sum.assign(static_cast<size_t>(width), 0.0F);
  std::fill_n(out, width, 0.0F);
  for (int64_t i = 1; i < ratio; ++i) {
    const float* const gate = kept(rows, sequence, first + i, true);
    for (int64_t d = 0; d < width; ++d) {
      const auto at = static_cast<size_t>(d);
      most[at] = std::max(most[at], gate[d]);
    }
  }
  for (int64_t i = 0; i < ratio; ++i) {
    const float* const row = kept(rows, sequence, first + i, false);
    const float* const gate = kept(rows, sequence, first + i, true);
    for (int64_t d = 0; d < width; ++d) {
      const auto at = static_cast<size_t>(d);
      const float weight = std::exp(gate[d] - most[at]);
      sum[at] += weight;
      out[d] += weight * row[d];
    }
  }
  for (int64_t d = 0; d < width; ++d) out[d] /= sum[static_cast<size_t>(d)];
}

}  // namespace

mx::array pool_groups(const Context& context, const mx::array& rows, const mx::array& gates,
                      int64_t ratio, const KvLayerLayout& layout, KvView kv) {
  return kernel_op(
      context, "pool_groups", {rows, gates}, rows.shape(),
      [&context, ratio, layout, kv = std::move(kv)](const Buffers& b) {
        const LayerRows at{layout};
        const int64_t width = layout.head_dim;
        const auto bytes = static_cast<size_t>(at.row_bytes());
        for (const SequenceKv& sequence : *kv) {
          if (sequence.copy_from)
            copy_shared_rows(at, sequence, at.keys(*sequence.copy_from, 0, 0));
          for (int64_t i = 0; i < sequence.n_tokens; ++i) {
            const int64_t from = (sequence.first_row + i) * width, to = sequence.position + i;
            const residency::KvBlock& block =
                *sequence.blocks[static_cast<size_t>(to / kKvBlockTokens)];
            std::memcpy(at.keys(block, 0, to % kKvBlockTokens), b.input(0) + from, bytes);
            std::memcpy(at.values(block, 0, to % kKvBlockTokens), b.input(1) + from, bytes);
          }
          context.pool.parallel_for(sequence.n_tokens, kTokens, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
              const int64_t from = (sequence.first_row + i) * width;
              const int64_t next = sequence.position + i + 1;
              float* const out = b.output() + from;
              if (next % ratio == 0) {
                pool_group(at, sequence, next - ratio, ratio, out);
              } else {
                std::memcpy(out, b.input(0) + from, bytes);
              }
            }
          });
        }
      });
}

mx::array keep_rows(const Context& context, const mx::array& x,
                    const std::optional<mx::array>& angles, const HeadTransform& transform,
                    const KvLayerLayout& layout, KvView kv) {
  std::vector<mx::array> inputs{x};
  if (angles) inputs.push_back(*angles);
  const int64_t n_rows = x.shape(0), n_pairs = angles ? angles->shape(2) : 0;
  return kernel_op(
      context, "keep_rows", std::move(inputs), x.shape(),
      [&context, transform, n_rows, n_pairs, layout, kv = std::move(kv)](const Buffers& b) {
        const LayerRows rows{layout};
        const int64_t width = layout.head_dim;
        for (const SequenceKv& sequence : *kv) {
          if (sequence.copy_from)
            copy_shared_rows(rows, sequence, rows.keys(*sequence.copy_from, 0, 0));
          context.pool.parallel_for(sequence.n_tokens, kTokens, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
              const int64_t row = sequence.first_row + i, next = sequence.position + i + 1;
              const float* const cos = n_pairs > 0 ? b.input(1) + row * n_pairs : nullptr;
              float* const out = b.output() + row * width;
              transform_head(context.kernels, transform, b.input(0) + row * width, width, cos,
                             n_pairs > 0 ? cos + n_rows * n_pairs : nullptr, n_pairs, out);
              if (next % layout.ratio != 0) continue;
              const int64_t at = next / layout.ratio - 1, block = (next - 1) / kKvBlockTokens;
              context.kernels.store_kv(out, width, layout.type,
                                       rows.keys(*sequence.blocks[static_cast<size_t>(block)], 0,
                                                 at - layout.first_row(block)));
            }
          });
        }
      });
}

}  // namespace sluice::ops
