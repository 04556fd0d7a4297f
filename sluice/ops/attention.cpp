#include "sluice/ops/attention.h"

#include <algorithm>
#include <cstring>

#include "sluice/ops/kernel_op.h"

namespace sluice::ops {
namespace {

using kernels::kKvBlockTokens;

int64_t element_bytes(kernels::KvType type) { return type == kernels::KvType::f32 ? 4 : 2; }

/// Addresses of one layer's rows inside blocks.
struct LayerRows {
  const KvLayerLayout& layout;

  int64_t row_bytes() const { return layout.head_dim * element_bytes(layout.type); }
  int64_t half_bytes() const { return layout.n_kv_heads * kKvBlockTokens * row_bytes(); }
  std::byte* keys(const residency::KvBlock& block, int64_t head, int64_t row) const {
    return block.data() + layout.offset + (head * kKvBlockTokens + row) * row_bytes();
  }
  std::byte* values(const residency::KvBlock& block, int64_t head, int64_t row) const {
    return keys(block, head, row) + half_bytes();
  }
};

/// The rows a block shared with a snapshot already had, for this layer.
void copy_shared_rows(const LayerRows& rows, const SequenceKv& sequence) {
  const int64_t kept = sequence.position % kKvBlockTokens;
  const residency::KvBlock& to =
      *sequence.blocks[static_cast<size_t>(sequence.position / kKvBlockTokens)];
  for (int64_t head = 0; head < rows.layout.n_kv_heads; ++head) {
    const auto bytes = static_cast<size_t>(kept * rows.row_bytes());
    std::memcpy(rows.keys(to, head, 0), rows.keys(*sequence.copy_from, head, 0), bytes);
    std::memcpy(rows.values(to, head, 0), rows.values(*sequence.copy_from, head, 0), bytes);
  }
}

void store_rows(const Context& context, const LayerRows& rows, const SequenceKv& sequence,
                const float* k, const float* v) {
  const KvLayerLayout& layout = rows.layout;
  context.pool.parallel_for(sequence.n_tokens, 32, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t position = sequence.position + i;
      const residency::KvBlock& block =
          *sequence.blocks[static_cast<size_t>(position / kKvBlockTokens)];
      for (int64_t head = 0; head < layout.n_kv_heads; ++head) {
        const int64_t at = ((sequence.first_row + i) * layout.n_kv_heads + head) * layout.head_dim;
        const int64_t row = position % kKvBlockTokens;
        context.kernels.store_kv(k + at, layout.head_dim, layout.type, rows.keys(block, head, row));
        context.kernels.store_kv(v + at, layout.head_dim, layout.type,
                                 rows.values(block, head, row));
      }
    }
  });
}

void attend_sequence(const Context& context, const AttentionSpec& spec, const LayerRows& rows,
                     const SequenceKv& sequence, const float* q, float* out) {
  const KvLayerLayout& layout = rows.layout;
  const int64_t heads_per_kv = spec.n_heads / layout.n_kv_heads;
  // One item is one key head of one token: the query heads that share it run one after another, so its
  // keys are read from cache from the second on.
  context.pool.parallel_for(
      sequence.n_tokens * layout.n_kv_heads, 1, [&](int64_t begin, int64_t end) {
        std::vector<const void*> keys(sequence.blocks.size());
        std::vector<const void*> values(sequence.blocks.size());
        for (int64_t item = begin; item < end; ++item) {
          const int64_t i = item / layout.n_kv_heads;
          const int64_t kv_head = item % layout.n_kv_heads;
          for (size_t block = 0; block < sequence.blocks.size(); ++block) {
            if (!sequence.blocks[block]) continue;
            keys[block] = rows.keys(*sequence.blocks[block], kv_head, 0);
            values[block] = rows.values(*sequence.blocks[block], kv_head, 0);
          }
          for (int64_t j = 0; j < heads_per_kv; ++j) {
            const int64_t head = kv_head * heads_per_kv + j;
            const int64_t at = ((sequence.first_row + i) * spec.n_heads + head) * layout.head_dim;
            kernels::AttendTask task;
            task.q = q + at;
            task.out = out + at;
            task.k_blocks = keys.data();
            task.v_blocks = values.data();
            task.last = sequence.position + i;
            task.first = spec.window == 0 ? 0 : std::max<int64_t>(0, task.last - spec.window + 1);
            task.head_dim = static_cast<int32_t>(layout.head_dim);
            task.type = layout.type;
            task.scale = spec.scale;
            task.softcap = spec.softcap;
            task.has_sink = spec.sinks != nullptr;
            if (spec.sinks) task.sink = (*spec.sinks)[static_cast<size_t>(head)];
            context.kernels.attend(task);
          }
        }
      });
}

}  // namespace

mx::array attention(const Context& context, const mx::array& q, const mx::array& k,
                    const mx::array& v, const AttentionSpec& spec, const KvLayerLayout& layout,
                    KvView kv) {
  return kernel_op(context, "attention", {q, k, v}, q.shape(),
                   [&context, spec, layout, kv = std::move(kv)](const Buffers& b) {
                     const LayerRows rows{layout};
                     for (const SequenceKv& sequence : *kv) {
                       if (sequence.copy_from) copy_shared_rows(rows, sequence);
                       store_rows(context, rows, sequence, b.input(1), b.input(2));
                       attend_sequence(context, spec, rows, sequence, b.input(0), b.output());
                     }
                   });
}

}  // namespace sluice::ops
