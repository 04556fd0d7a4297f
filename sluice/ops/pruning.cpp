#include "sluice/ops/pruning.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "sluice/ops/kv_rows.h"
#include "sluice/ops/spilled_ranges.h"

namespace sluice::ops {
namespace {

using kernels::kKvBlockTokens;

/// Queries whose scores over a block a thread has at a time.
constexpr int64_t kQueriesAtOnce = 64;

int64_t n_prompt(const SequenceKv& sequence) { return sequence.position + sequence.n_tokens; }
int64_t n_kept(const SequenceKv& sequence) { return std::ssize(sequence.kept) * kKvBlockTokens; }

kernels::Format format_of(kernels::KvType type) {
  switch (type) {
    case kernels::KvType::f32:
      return kernels::Format::f32;
    case kernels::KvType::f16:
      return kernels::Format::f16;
    case kernels::KvType::bf16:
      return kernels::Format::bf16;
  }
  return {};
}

/// A sequence's blocks in their order, as many at a time as there is memory for.
void for_each_range(const SequenceKv& sequence, const KvLayerLayout& layout, int64_t window,
                    const std::function<void(const SpilledRange&)>& body) {
  std::vector<SpilledRange> ranges = spilled_ranges({sequence}, layout, {.window = window});
  if (ranges.empty())
    ranges.push_back({.end = std::ssize(sequence.blocks), .wanted = {}, .blocks = {}});
  for (const SpilledRange& range : ranges) {
    if (!range.wanted.empty()) range.stage().bring(range.wanted);
    body(range);
  }
}

/// Copies rows[head][i] to row i of what is kept of that head; below 0: nothing.
void copy_rows(const Context& context, const SequenceKv& sequence, const KvLayerLayout& layout,
               int64_t window, const std::vector<std::vector<int32_t>>& rows) {
  const LayerRows at{layout};
  const int64_t n_blocks = std::ssize(sequence.kept);
  const auto bytes = static_cast<size_t>(at.row_bytes());
  const auto copy = [&](const SpilledRange& range, int64_t head, int64_t i) {
    const int64_t from = rows[static_cast<size_t>(head)][static_cast<size_t>(i)];
    if (from < range.begin * kKvBlockTokens || from >= range.end * kKvBlockTokens) return;
    const auto& block = *sequence.blocks[static_cast<size_t>(from / kKvBlockTokens)];
    const auto& to = *sequence.kept[static_cast<size_t>(i / kKvBlockTokens)];
    const std::byte* const key = bytes_of(block, layout.offset, &range) +
                                 (head * kKvBlockTokens + from % kKvBlockTokens) * at.row_bytes();
    std::memcpy(at.keys(to, head, i % kKvBlockTokens), key, bytes);
    if (!layout.keys_only)
      std::memcpy(at.values(to, head, i % kKvBlockTokens), key + at.half_bytes(), bytes);
  };
  for_each_range(sequence, layout, window, [&](const SpilledRange& range) {
    context.pool.parallel_for(layout.n_kv_heads * n_blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t first = item % n_blocks * kKvBlockTokens;
        for (int64_t i = first; i < first + kKvBlockTokens; ++i) copy(range, item / n_blocks, i);
      }
    });
  });
}

/// What the last tokens' queries attend.
class Attended {
 public:
  Attended(const Context& context, const Pruning& pruning)
      : context_(context),
        pruning_(pruning),
        n_(n_prompt(pruning.sequence)),
        n_queries_(kObserved * pruning.heads_per_kv),
        states_(static_cast<size_t>(pruning.layout.n_kv_heads * n_queries_)),
        attention_(static_cast<size_t>(pruning.layout.n_kv_heads * n_)) {}

  /// Of each key head, what each token gets.
  std::vector<std::vector<int32_t>> choose() {
    const auto each = [&](auto body) {
      for_each_range(pruning_.sequence, pruning_.layout, 0, body);
    };
    each([&](const SpilledRange& range) { find_maxima_and_sums(range); });
    add_sinks();
    each([&](const SpilledRange& range) { add_attention(range); });
    std::vector<std::vector<int32_t>> rows(static_cast<size_t>(pruning_.layout.n_kv_heads));
    context_.pool.parallel_for(std::ssize(rows), 1, [&](int64_t begin, int64_t end) {
      for (int64_t head = begin; head < end; ++head) {
        rows[static_cast<size_t>(head)] = kept_tokens(
            {attention_.data() + head * n_, static_cast<size_t>(n_)}, n_kept(pruning_.sequence));
      }
    });
    return rows;
  }

 private:
  /// Of a query's scores the maximum, and the sum of exp(score - maximum).
  struct State {
    float maximum = -std::numeric_limits<float>::infinity(), sum = 0;
  };
  State& state(int64_t head, int64_t query) {
    return states_[static_cast<size_t>(head * n_queries_ + query)];
  }

  /// Rows of a block that a query sees.
  int64_t visible(int64_t query, int64_t block) const {
    const int64_t position = n_ - kObserved + query / pruning_.heads_per_kv;
    return std::clamp<int64_t>(position + 1 - block * kKvBlockTokens, 0, kKvBlockTokens);
  }

  /// [n, 256] scores of queries from `first` on; valid until the thread asks again.
  const float* scores(const SpilledRange& range, int64_t head, int64_t first, int64_t n,
                      int64_t block) const {
    const KvLayerLayout& layout = pruning_.layout;
    thread_local std::vector<float> memory;
    memory.resize(static_cast<size_t>(kQueriesAtOnce * kKvBlockTokens));
    const int64_t row_bytes = LayerRows{layout}.row_bytes();
    kernels::Matrix keys;
    keys.format = format_of(layout.type);
    keys.rows = visible(n_queries_ - 1, block);
    keys.cols = layout.head_dim;
    keys.row_bytes = row_bytes;
    keys.data =
        bytes_of(*pruning_.sequence.blocks[static_cast<size_t>(block)], layout.offset, &range) +
        head * kKvBlockTokens * row_bytes;
    context_.kernels.matmul(keys, 0, keys.rows,
                            pruning_.queries + (head * n_queries_ + first) * layout.head_dim,
                            layout.head_dim, n, memory.data(), kKvBlockTokens);
    for (int64_t i = 0; i < n; ++i) {
      float* const of = memory.data() + i * kKvBlockTokens;
      for (int64_t j = 0; j < visible(first + i, block); ++j) {
        of[j] *= pruning_.scale;
        if (pruning_.softcap > 0) of[j] = pruning_.softcap * std::tanh(of[j] / pruning_.softcap);
      }
    }
    return memory.data();
  }

  /// Some queries after the other, over the range's blocks in their order.
  void find_maxima_and_sums(const SpilledRange& range) {
    const int64_t n_groups = (n_queries_ + kQueriesAtOnce - 1) / kQueriesAtOnce;
    const int64_t n_items = pruning_.layout.n_kv_heads * n_groups;
    context_.pool.parallel_for(n_items, 1, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t head = item / n_groups, first = item % n_groups * kQueriesAtOnce;
        const int64_t n = std::min(kQueriesAtOnce, n_queries_ - first);
        for (int64_t block = range.begin; block < range.end; ++block) {
          const float* const of = scores(range, head, first, n, block);
          for (int64_t i = 0; i < n; ++i) {
            add(state(head, first + i),
                {of + i * kKvBlockTokens, static_cast<size_t>(visible(first + i, block))});
          }
        }
      }
    });
  }

  static void add(State& state, std::span<const float> scores) {
    if (scores.empty()) return;
    const float maximum = std::max(state.maximum, std::ranges::max(scores));
    float sum = state.sum * std::exp(state.maximum - maximum);
    for (const float score : scores) sum += std::exp(score - maximum);
    state = {maximum, sum};
  }

  void add_sinks() {
    if (pruning_.sinks == nullptr) return;
    for (size_t i = 0; i < states_.size(); ++i) {
      const int64_t query = static_cast<int64_t>(i), g = pruning_.heads_per_kv;
      add(states_[i], {pruning_.sinks + query / n_queries_ * g + query % g, 1});
    }
  }

  /// Some keys after the other, over all queries in their order.
  void add_attention(const SpilledRange& range) {
    const int64_t n_blocks = range.end - range.begin;
    context_.pool.parallel_for(
        pruning_.layout.n_kv_heads * n_blocks, 1, [&](int64_t begin, int64_t end) {
          for (int64_t item = begin; item < end; ++item) {
            const int64_t head = item / n_blocks, block = range.begin + item % n_blocks;
            float* const attention = attention_.data() + head * n_ + block * kKvBlockTokens;
            for (int64_t first = 0; first < n_queries_; first += kQueriesAtOnce) {
              const int64_t n = std::min(kQueriesAtOnce, n_queries_ - first);
              const float* const of = scores(range, head, first, n, block);
              for (int64_t i = 0; i < n; ++i) {
                const State& s = state(head, first + i);
                for (int64_t j = 0; j < visible(first + i, block); ++j)
                  attention[j] += std::exp(of[i * kKvBlockTokens + j] - s.maximum) / s.sum;
              }
            }
          }
        });
  }

  const Context& context_;
  const Pruning& pruning_;
  int64_t n_, n_queries_;         // tokens; queries of a key head
  std::vector<State> states_;     // [n_kv_heads, n_queries]
  std::vector<float> attention_;  // [n_kv_heads, n]
};

}  // namespace

std::vector<int32_t> kept_tokens(std::span<const float> attention, int64_t n_kept) {
  const int64_t n = std::ssize(attention), end = n - kKeptLast;
  std::vector<float> pooled(static_cast<size_t>(end));
  for (int64_t i = kKeptFirst; i < end; ++i) {
    float sum = 0;
    for (int64_t j = i - kPooled / 2; j <= i + kPooled / 2; ++j)
      sum += attention[static_cast<size_t>(j)];
    pooled[static_cast<size_t>(i)] = sum > 0 ? sum : 0;  // what is no number has no order
  }
  std::vector<int32_t> order(static_cast<size_t>(end - kKeptFirst));
  std::iota(order.begin(), order.end(), static_cast<int32_t>(kKeptFirst));
  const auto chosen = order.begin() + (n_kept - kKeptFirst - kKeptLast);
  std::ranges::nth_element(order, chosen, [&](int32_t a, int32_t b) {
    const float of_a = pooled[static_cast<size_t>(a)], of_b = pooled[static_cast<size_t>(b)];
    return of_a != of_b ? of_a > of_b : a < b;
  });
  std::sort(order.begin(), chosen);
  std::vector<int32_t> kept(static_cast<size_t>(n_kept));
  std::iota(kept.begin(), kept.begin() + kKeptFirst, 0);
  const auto last = std::copy(order.begin(), chosen, kept.begin() + kKeptFirst);
  std::iota(last, kept.end(), static_cast<int32_t>(end));
  return kept;
}

void keep_attended(const Context& context, const Pruning& pruning) {
  copy_rows(context, pruning.sequence, pruning.layout, 0, Attended(context, pruning).choose());
}

void keep_last(const Context& context, const SequenceKv& sequence, const KvLayerLayout& layout,
               int64_t window) {
  const int64_t kept = n_kept(sequence), first = std::max<int64_t>(0, kept - window + 1);
  std::vector<int32_t> rows(static_cast<size_t>(kept), -1);
  for (int64_t i = first; i < kept; ++i)
    rows[static_cast<size_t>(i)] = static_cast<int32_t>(n_prompt(sequence) - kept + i);
  copy_rows(context, sequence, layout, window,
            std::vector(static_cast<size_t>(layout.n_kv_heads), rows));
}

}  // namespace sluice::ops
