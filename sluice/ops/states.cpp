#include "sluice/ops/states.h"

#include <algorithm>
#include <cmath>

namespace sluice::ops {
namespace {

using kernels::kKvBlockTokens;
using kernels::KvType;

std::byte* bytes_of(const std::shared_ptr<residency::KvBlock>& block, const KvLayerLayout& layout) {
  return block ? block->data() + layout.offset : nullptr;
}

/// Bytes [begin, begin + n) of a state are at `to` what they are at `from`, where that is not null: else zeros.
void carry(const std::byte* from, int64_t begin, int64_t n, std::byte* to) {
  if (from == to) return;
  if (from == nullptr) {
    std::fill_n(to + begin, n, std::byte{0});
  } else {
    std::copy_n(from + begin, n, to + begin);
  }
}

/// Those of a part as floats to be changed: where they lie, or in `floats`.
float* unpacked(const kernels::KernelTable& table, KvType type, std::byte* kept, int64_t n,
                std::vector<float>& floats) {
  if (type == KvType::f32) return reinterpret_cast<float*>(kept);
  floats.resize(static_cast<size_t>(n));
  kernels::Matrix row;
  row.format = type == KvType::f16 ? kernels::Format::f16 : kernels::Format::bf16;
  row.rows = 1;
  row.cols = n;
  row.data = kept;
  row.row_bytes = n * element_bytes(type);
  table.dequantize_row(row, 0, floats.data());
  return floats.data();
}

}  // namespace

State state_of(const SequenceKv& s, const KvLayerLayout& layout) {
  const int64_t end = s.position + s.n_tokens, last = (end - 1) / kKvBlockTokens;
  State state{.before = bytes_of(s.copy_from, layout),
              .after = bytes_of(s.blocks[static_cast<size_t>(last)], layout)};
  const int64_t boundary = last * kKvBlockTokens;
  if (boundary > s.position) {
    state.kept = bytes_of(s.blocks[static_cast<size_t>(last - 1)], layout);
    state.kept_after = boundary - s.position;
  }
  return state;
}

void for_each_state(const Context& context, const std::vector<SequenceKv>& sequences,
                    const KvLayerLayout& layout, const StateParts& parts,
                    const std::function<void(StateToken, int64_t, float*)>& step) {
  const int64_t n_parts = parts.n(), element = element_bytes(layout.type);
  context.pool.parallel_for(n_parts * std::ssize(sequences), 1, [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> memory;
    for (int64_t i = begin; i < end; ++i) {
      const SequenceKv& s = sequences[static_cast<size_t>(i / n_parts)];
      const State state = state_of(s, layout);
      const int64_t part = i % n_parts, first = part * parts.floats;
      const int64_t floats = std::min(parts.floats, parts.total - first);
      const int64_t at = first * element, bytes = floats * element;
      carry(state.before, at, bytes, state.after);
      for (int64_t t = 0; t < s.n_tokens; ++t) {
        if (state.kept != nullptr && t == state.kept_after)
          carry(state.after, at, bytes, state.kept);
        float* const now = unpacked(context.kernels, layout.type, state.after + at, floats, memory);
        step({s.first_row + t, s.position + t}, part, now);
        if (layout.type != KvType::f32)
          context.kernels.store_kv(now, floats, layout.type, state.after + at);
      }
    }
  });
}

float softplus(float x) { return x > 20 ? x : std::log1p(std::exp(x)); }

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

}  // namespace sluice::ops
