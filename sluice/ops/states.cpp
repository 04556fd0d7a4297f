#include "sluice/ops/states.h"

#include <algorithm>
#include <cmath>

namespace sluice::ops {
namespace {

using kernels::kKvBlockTokens;

float* floats_of(const std::shared_ptr<residency::KvBlock>& block, const KvLayerLayout& layout) {
  return block ? reinterpret_cast<float*>(block->data() + layout.offset) : nullptr;
}

/// Part [begin, begin + n) of a state is at `to` what it is at `from`, where that is not null: else zeros.
void carry(const float* from, int64_t begin, int64_t n, float* to) {
  if (from == to) return;
  if (from == nullptr) {
    std::fill_n(to + begin, n, 0.0F);
  } else {
    std::copy_n(from + begin, n, to + begin);
  }
}

}  // namespace

State state_of(const SequenceKv& s, const KvLayerLayout& layout) {
  const int64_t end = s.position + s.n_tokens, last = (end - 1) / kKvBlockTokens;
  State state{.before = floats_of(s.copy_from, layout),
              .after = floats_of(s.blocks[static_cast<size_t>(last)], layout)};
  const int64_t boundary = last * kKvBlockTokens;
  if (boundary > s.position) {
    state.kept = floats_of(s.blocks[static_cast<size_t>(last - 1)], layout);
    state.kept_after = boundary - s.position;
  }
  return state;
}

void for_each_state(const Context& context, const std::vector<SequenceKv>& sequences,
                    const KvLayerLayout& layout, const StateParts& parts,
                    const std::function<void(StateToken, int64_t, float*)>& step) {
  const int64_t n_parts = parts.n();
  context.pool.parallel_for(n_parts * std::ssize(sequences), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const SequenceKv& s = sequences[static_cast<size_t>(i / n_parts)];
      const State state = state_of(s, layout);
      const int64_t part = i % n_parts, at = part * parts.floats;
      const int64_t floats = std::min(parts.floats, parts.total - at);
      carry(state.before, at, floats, state.after);
      for (int64_t t = 0; t < s.n_tokens; ++t) {
        if (state.kept != nullptr && t == state.kept_after)
          carry(state.after, at, floats, state.kept);
        step({s.first_row + t, s.position + t}, part, state.after + at);
      }
    }
  });
}

float softplus(float x) { return x > 20 ? x : std::log1p(std::exp(x)); }

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

}  // namespace sluice::ops
