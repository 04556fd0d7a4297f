#pragma once

#include <cstring>

#include "sluice/ops/sequence_kv.h"

namespace sluice::ops {

/// Addresses of one layer's rows inside blocks.
struct LayerRows {
  const KvLayerLayout& layout;

  int64_t row_bytes() const { return layout.head_dim * element_bytes(layout.type); }
  int64_t half_bytes() const { return layout.n_kv_heads * kernels::kKvBlockTokens * row_bytes(); }
  std::byte* keys(const residency::KvBlock& block, int64_t head, int64_t row) const {
    return block.data() + layout.offset + (head * kernels::kKvBlockTokens + row) * row_bytes();
  }
  std::byte* codes(const residency::KvBlock& block, int64_t head) const {
    return block.data() + layout.code_offset + head * layout.code.bytes(layout.head_dim);
  }
  std::byte* values(const residency::KvBlock& block, int64_t head, int64_t row) const {
    return layout.keys_only ? keys(block, head, row) : keys(block, head, row) + half_bytes();
  }
};

/// The rows a block shared with a snapshot already had, for this layer. from: where its bytes of that block begin.
inline void copy_shared_rows(const LayerRows& rows, const SequenceKv& sequence,
                             const std::byte* from) {
  const int64_t first = rows.layout.first_row(sequence.position / kernels::kKvBlockTokens);
  const int64_t kept = rows.layout.rows_before(sequence.position) - first;
  const residency::KvBlock& to =
      *sequence.blocks[static_cast<size_t>(sequence.position / kernels::kKvBlockTokens)];
  for (int64_t head = 0; head < rows.layout.n_kv_heads; ++head) {
    const auto bytes = static_cast<size_t>(kept * rows.row_bytes());
    const std::byte* const keys = from + head * kernels::kKvBlockTokens * rows.row_bytes();
    std::memcpy(rows.keys(to, head, 0), keys, bytes);
    if (rows.layout.keys_only) continue;
    std::memcpy(rows.values(to, head, 0), keys + rows.half_bytes(), bytes);
  }
}

}  // namespace sluice::ops
