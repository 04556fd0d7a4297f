#include "sluice/ops/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "sluice/ops/attention_plan.h"
#include "sluice/ops/kernel_op.h"
#include "sluice/ops/kv_rows.h"
#include "sluice/ops/pruning.h"
#include "sluice/ops/spilled_ranges.h"

namespace sluice::ops {
namespace {

using kernels::kKvBlockTokens;
using kernels::kPartHeader;

/// A thread's memory for one item, kept from call to call.
struct ThreadMemory {
  std::vector<float> queries, part, state, key, inner_part;
  std::vector<kernels::Visible> visible, window;
  std::vector<std::byte> keys, values;  // those of a block that were selected
};
ThreadMemory& memory() {
  thread_local ThreadMemory of_this_thread;
  return of_this_thread;
}
float* at_least(std::vector<float>& floats, int64_t n) {
  if (floats.size() < static_cast<size_t>(n)) floats.resize(static_cast<size_t>(n));
  return floats.data();
}

/// One evaluation of the primitive.
class Call {
 public:
  Call(const Context& context, const AttentionSpec& spec, const KvLayerLayout& layout,
       const std::vector<SequenceKv>& sequences, int64_t n_rows, int64_t n_pairs,
       const std::optional<SelectionShape>& selection, const Buffers& b)
      : context_(context),
        spec_(spec),
        layout_(layout),
        rows_{layout},
        sequences_(sequences),
        n_rows_(n_rows),
        n_pairs_(n_pairs),
        selection_(selection),
        buffers_(b),
        heads_per_kv_(spec.n_heads / layout.n_kv_heads),
        lanes_((layout.head_dim + 15) / 16 * 16) {}

  void run() {
    for (const SequenceKv& sequence : sequences_) {
      if (!spec_.stores) break;
      if (sequence.copy_from) copy_shared_rows(rows_, sequence, shared_rows(*sequence.copy_from));
      store(sequence);
      if (layout_.code) code_completed(sequence);
      if (!sequence.kept.empty()) prune(sequence);
    }
    if (selection_) {
      attend_blocks(dense_part());
      attend_selected();
    } else {
      attend_blocks(sequences_);
    }
  }

 private:
  void attend_blocks(const std::vector<SequenceKv>& sequences) {
    const Reach reach{window(), keeps_first()};
    const std::vector<SpilledRange> spilled = spilled_ranges(sequences, layout_, reach);
    if (spilled.empty()) return attend_all(sequences, reach);
    std::vector<SequenceKv> in_memory = sequences;
    for (const SpilledRange& range : spilled) in_memory[range.sequence].n_tokens = 0;
    attend_all(in_memory, reach);
    attend_spilled(spilled);
  }

  /// What these see within reach, of blocks that are in memory.
  void attend_all(const std::vector<SequenceKv>& sequences, const Reach& reach) {
    plan_ =
        plan_attention(sequences, layout_.n_kv_heads, heads_per_kv_, reach, context_.pool.size());
    thread_local std::vector<float> all_parts;
    parts_ = at_least(all_parts, plan_.n_parts * part_floats());
    context_.pool.parallel_for(static_cast<int64_t>(plan_.items.size()), 1,
                               [&](int64_t begin, int64_t end) {
                                 for (int64_t i = begin; i < end; ++i)
                                   attend(plan_.items[static_cast<size_t>(i)]);
                               });
    for (const AttentionTile& tile : plan_.tiles) {
      if (tile.first_part >= 0) merge(tile);
    }
  }

  /// Of a layer without a window, what its bounded cache keeps.
  bool keeps_first() const { return spec_.window == 0 && layout_.last > 0; }
  int64_t window() const { return spec_.window == 0 ? layout_.last : spec_.window; }
  int64_t part_floats() const { return kPartHeader + lanes_; }
  int64_t n_queries(const AttentionTile& tile) const { return tile.n_tokens * heads_per_kv_; }

  void transform(const HeadTransform& how, const float* in, int64_t row, float* out) const {
    const float* cos = n_pairs_ > 0 ? buffers_.input(3) + row * n_pairs_ : nullptr;
    const float* sin = n_pairs_ > 0 ? cos + n_rows_ * n_pairs_ : nullptr;
    transform_head(context_.kernels, how, in, layout_.head_dim, cos, sin, n_pairs_, out);
  }

  /// This step's keys and values of one sequence, into its blocks.
  void store(const SequenceKv& sequence) const {
    const int64_t row_floats = layout_.n_kv_heads * layout_.head_dim;
    const auto store_kv = context_.kernels.store_kv;
    context_.pool.parallel_for(
        sequence.n_tokens, std::max<int64_t>(1, 8192 / row_floats),
        [&](int64_t begin, int64_t end) {
          float* key = at_least(memory().key, layout_.head_dim);
          for (int64_t i = begin; i < end; ++i) {
            const int64_t row = sequence.first_row + i, position = sequence.position + i;
            const residency::KvBlock& block =
                *sequence.blocks[static_cast<size_t>(position / kKvBlockTokens)];
            for (int64_t head = 0; head < layout_.n_kv_heads; ++head) {
              const int64_t at = row * row_floats + head * layout_.head_dim;
              const int64_t to = position % kKvBlockTokens;
              transform(spec_.key, buffers_.input(1) + at, row, key);
              store_kv(key, layout_.head_dim, layout_.type, rows_.keys(block, head, to));
              if (layout_.keys_only) continue;
              const float* value = buffers_.input(2) + at;
              if (spec_.value_norm) {
                context_.kernels.rms_norm(value, spec_.value_norm->data(), 0, layout_.head_dim,
                                          spec_.key.norm_eps, key);
                value = key;
              }
              store_kv(value, layout_.head_dim, layout_.type, rows_.values(block, head, to));
            }
          }
        });
  }

  /// The blocks that this step's tokens complete, in few bits.
  void code_completed(const SequenceKv& sequence) const {
    const int64_t first = std::max<int64_t>(1, sequence.position / kKvBlockTokens);
    const int64_t end = (sequence.position + sequence.n_tokens) / kKvBlockTokens;
    const int64_t n_heads = layout_.n_kv_heads;
    context_.pool.parallel_for(
        std::max<int64_t>(0, end - first) * n_heads, 1, [&](int64_t begin, int64_t last) {
          for (int64_t i = begin; i < last; ++i) {
            const auto b = static_cast<size_t>(first + i / n_heads);
            const residency::KvBlock& block = *sequence.blocks[b];
            context_.kernels.code_kv({.k = rows_.keys(block, i % n_heads, 0),
                                      .v = rows_.values(block, i % n_heads, 0),
                                      .type = layout_.type,
                                      .head_dim = static_cast<int32_t>(layout_.head_dim),
                                      .code = layout_.code,
                                      .out = rows_.codes(*sequence.coded[b], i % n_heads)});
          }
        });
  }

  /// What stays of the prompt that is whole with this step.
  void prune(const SequenceKv& sequence) const {
    if (spec_.window > 0) return keep_last(context_, sequence, layout_, spec_.window);
    const int64_t d = layout_.head_dim, row_floats = spec_.n_heads * d;
    std::vector<float> queries(static_cast<size_t>(kObserved * row_floats));
    context_.pool.parallel_for(kObserved, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = sequence.first_row + i;
        for (int64_t head = 0; head < spec_.n_heads; ++head) {
          const int64_t group = head / heads_per_kv_ * kObserved + i;
          transform(spec_.query, buffers_.input(0) + row * row_floats + head * d, row,
                    queries.data() + (group * heads_per_kv_ + head % heads_per_kv_) * d);
        }
      }
    });
    keep_attended(context_, {.sequence = sequence,
                             .layout = layout_,
                             .heads_per_kv = heads_per_kv_,
                             .scale = spec_.scale,
                             .softcap = spec_.softcap,
                             .sinks = spec_.sinks ? spec_.sinks->data() : nullptr,
                             .queries = queries.data()});
  }

  /// Query `i` of a tile: heads of a token side by side. Returns its place in q and in the result.
  int64_t place(const AttentionTile& tile, int64_t i) const {
    const int64_t row = row_of(tile, i);
    const int64_t head = head_of(tile, i);
    return (row * spec_.n_heads + head) * layout_.head_dim;
  }
  int64_t row_of(const AttentionTile& tile, int64_t i) const {
    return sequences_[tile.sequence].first_row + tile.first_token + i / heads_per_kv_;
  }
  int64_t head_of(const AttentionTile& tile, int64_t i) const {
    return tile.kv_head * heads_per_kv_ + i % heads_per_kv_;
  }

  int64_t position_of(const AttentionTile& tile, int64_t i) const {
    return sequences_[tile.sequence].position + tile.first_token + i / heads_per_kv_;
  }

  /// What query i sees of a block.
  kernels::Visible visible(const AttentionTile& tile, int64_t i, int64_t block) const {
    const int64_t last = position_of(tile, i);
    const int64_t first = spec_.chunk > 0 ? last / spec_.chunk * spec_.chunk
                          : window() > 0  ? std::max<int64_t>(0, last - window() + 1)
                                          : 0;
    const auto in_block = [&](int64_t position) {
      return static_cast<int32_t>(
          std::clamp<int64_t>(position - block * kKvBlockTokens, 0, kKvBlockTokens));
    };
    return {in_block(first), in_block(last + 1)};
  }

  void attend(const AttentionItem& item) const {
    const AttentionTile& tile = plan_.tiles[item.tile];
    const int64_t n = n_queries(tile);
    ThreadMemory& mine = memory();
    mine.visible.resize(static_cast<size_t>(n));
    kernels::AttendTask task;
    task.n_queries = n;
    task.visible = mine.visible.data();
    task.head_dim = static_cast<int32_t>(layout_.head_dim);
    task.type = layout_.type;
    task.code = layout_.code;
    task.scale = spec_.scale;
    task.softcap = spec_.softcap;
    float* queries = at_least(mine.queries, n * lanes_);
    for (int64_t i = 0; i < n; ++i) {
      float* query = queries + i * lanes_;
      transform(spec_.query, buffers_.input(0) + place(tile, i), row_of(tile, i), query);
      std::fill(query + layout_.head_dim, query + lanes_, 0.0F);
    }
    task.q = queries;

    const bool whole = tile.first_part < 0;
    float* states = !whole ? nullptr : range_ ? kept_states(tile) : empty_states(mine.state, n);
    for (int64_t at = item.first_block; at < item.end_block; ++at) {
      const int64_t b = tile.block(at);
      task.parts = whole ? at_least(mine.part, n * part_floats()) : part(tile, at, 0);
      task.next = at + 1 < item.end_block ? first_read(tile, tile.block(at + 1)) : nullptr;
      for (int64_t i = 0; i < n; ++i) mine.visible[static_cast<size_t>(i)] = visible(tile, i, b);
      if (keeps_first() && b == 0) {
        attend_first(tile, task);
      } else if (spec_.sparse.block > 0) {
        attend_sparsely(tile, b, task);
      } else {
        attend_block(tile, b, task);
      }
      if (whole) join_parts(task, states);
    }
    if (range_) return;
    for (int64_t i = 0; whole && i < n; ++i) finish(tile, i, states + i * part_floats());
  }

  /// The tile's queries, of which the last tokens' may read few bits.
  void attend_block(const AttentionTile& tile, int64_t b, kernels::AttendTask task) const {
    const SequenceKv& sequence = sequences_[tile.sequence];
    const int64_t position = sequence.position + tile.first_token;
    const int64_t tokens = std::clamp<int64_t>(layout_.coded_from(b) - position, 0, tile.n_tokens);
    const int64_t n = tokens * heads_per_kv_;
    const int64_t all = task.n_queries;
    if (n > 0) {
      const residency::KvBlock& block = *sequence.blocks[static_cast<size_t>(b)];
      task.n_queries = n;
      const std::byte* const keys = keys_of(block, tile.kv_head);
      task.k = keys;
      task.v = layout_.keys_only ? keys : keys + rows_.half_bytes();
      context_.kernels.attend(task);
    }
    if (n == all) return;
    task.n_queries = all - n;
    task.q += n * lanes_;
    task.parts += n * part_floats();
    task.k = codes_of(*sequence.coded[static_cast<size_t>(b)], tile.kv_head);
    context_.kernels.attend_coded(task);
  }

  /// Block 0 of a bounded cache, of which a token sees the first tokens, and then what its window has. Where that is all of
  /// it, it is one part, as in a cache without bounds.
  void attend_first(const AttentionTile& tile, kernels::AttendTask task) const {
    ThreadMemory& mine = memory();
    const auto n = static_cast<size_t>(task.n_queries);
    std::vector<kernels::Visible>& seen = mine.window;
    seen.assign(mine.visible.begin(), mine.visible.begin() + static_cast<ptrdiff_t>(n));
    float* const joined = task.parts;
    set_empty(joined, task.n_queries);
    task.parts = at_least(mine.inner_part, task.n_queries * part_floats());
    const auto attend_and_join = [&] {
      attend_block(tile, 0, task);
      join_parts(task, joined);
    };
    constexpr auto kFirst = static_cast<int32_t>(kFirstTokens);
    const auto is_all = [&](size_t i) { return seen[i].begin <= kFirst; };
    for (size_t i = 0; i < n; ++i) {
      const auto last = position_of(tile, static_cast<int64_t>(i));
      mine.visible[i] = {
          0, is_all(i) ? seen[i].end : static_cast<int32_t>(std::min(kFirstTokens, last + 1))};
    }
    attend_and_join();
    for (size_t i = 0; i < n; ++i) mine.visible[i] = is_all(i) ? kernels::Visible{0, 0} : seen[i];
    attend_and_join();
  }

  /// The sparse blocks of block b one after the other, of which each query sees some.
  void attend_sparsely(const AttentionTile& tile, int64_t b, kernels::AttendTask task) const {
    ThreadMemory& mine = memory();
    const int64_t n = task.n_queries, size = spec_.sparse.block;
    const std::vector<kernels::Visible> all(mine.visible.begin(), mine.visible.begin() + n);
    float* const joined = task.parts;
    set_empty(joined, n);
    task.parts = at_least(mine.inner_part, n * part_floats());
    for (int64_t first = 0; first < kKvBlockTokens; first += size) {
      const int64_t of_key = (b * kKvBlockTokens + first) / size;
      for (int64_t i = 0; i < n; ++i) {
        const auto q = static_cast<size_t>(i);
        const auto begin = static_cast<int32_t>(first), end = static_cast<int32_t>(first + size);
        mine.visible[q] = spec_.sparse.sees(head_of(tile, i), position_of(tile, i) / size, of_key)
                              ? kernels::Visible{std::clamp(all[q].begin, begin, end),
                                                 std::clamp(all[q].end, begin, end)}
                              : kernels::Visible{begin, begin};
      }
      attend_block(tile, b, task);
      join_parts(task, joined);
    }
  }

  void join_parts(const kernels::AttendTask& task, float* states) const {
    for (int64_t i = 0; i < task.n_queries; ++i) {
      context_.kernels.join_part(task.parts + i * part_floats(), task.head_dim,
                                 states + i * part_floats());
    }
  }

  /// Where reading block b begins.
  const std::byte* first_read(const AttentionTile& tile, int64_t b) const {
    const SequenceKv& sequence = sequences_[tile.sequence];
    const auto i = static_cast<size_t>(b);
    return sequence.position + tile.first_token < layout_.coded_from(b)
               ? keys_of(*sequence.blocks[i], tile.kv_head)
               : codes_of(*sequence.coded[i], tile.kv_head);
  }

  /// The part that block `b` of a shared out tile gives query `i`.
  float* part(const AttentionTile& tile, int64_t b, int64_t i) const {
    return parts_ +
           (tile.first_part + (b - tile.first_block) * n_queries(tile) + i) * part_floats();
  }
  void set_empty(float* states, int64_t n) const {
    std::fill(states, states + n * part_floats(), 0.0F);
    for (int64_t i = 0; i < n; ++i)
      states[i * part_floats()] = -std::numeric_limits<float>::infinity();
  }
  float* empty_states(std::vector<float>& memory, int64_t n) const {
    float* states = at_least(memory, n * part_floats());
    set_empty(states, n);
    return states;
  }

  /// Joins what other items left of a tile.
  void merge(const AttentionTile& tile) const {
    const int64_t query_floats = (tile.end_block - tile.first_block) * part_floats();
    context_.pool.parallel_for(
        n_queries(tile), std::max<int64_t>(1, 8192 / query_floats),
        [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            float* state =
                range_ ? kept_states(tile) + i * part_floats() : empty_states(memory().state, 1);
            for (int64_t b = tile.first_block; b < tile.end_block; ++b) {
              context_.kernels.join_part(part(tile, b, i), static_cast<int32_t>(layout_.head_dim),
                                         state);
            }
            if (!range_) finish(tile, i, state);
          }
        });
  }

  void finish(const AttentionTile& tile, int64_t i, const float* state) const {
    const float* sink = spec_.sinks ? spec_.sinks->data() + head_of(tile, i) : nullptr;
    context_.kernels.finish_part(state, sink, static_cast<int32_t>(layout_.head_dim),
                                 buffers_.output() + place(tile, i));
  }

  // --- blocks that are spilled

  const std::byte* keys_of(const residency::KvBlock& block, int64_t head) const {
    return bytes_of(block, layout_.offset, range_) + head * kKvBlockTokens * rows_.row_bytes();
  }
  const std::byte* codes_of(const residency::KvBlock& block, int64_t head) const {
    return bytes_of(block, layout_.code_offset, range_) +
           head * layout_.code.bytes(layout_.head_dim);
  }
  const std::byte* shared_rows(const residency::KvBlock& block) const {
    if (block.in_memory()) return block.data() + layout_.offset;
    residency::KvStage& stage = block.pool().stage();
    stage.bring({{block.stored(), layout_.part}});
    return stage.at(0);
  }

  /// Range after range, in the order of blocks; the next one is read while one is computed with. What queries have of the
  /// ranges before waits in kept_.
  void attend_spilled(const std::vector<SpilledRange>& ranges) {
    residency::KvStage& stage = ranges[0].stage();
    thread_local std::vector<float> kept;
    std::vector<SequenceKv> one = sequences_;
    for (SequenceKv& sequence : one) sequence.n_tokens = 0;
    for (size_t i = 0; i < ranges.size(); ++i) {
      const SpilledRange& range = ranges[i];
      const SequenceKv& sequence = sequences_[range.sequence];
      const int64_t n = sequence.n_tokens * spec_.n_heads;
      if (range.begin == 0) {
        kept_ = at_least(kept, n * part_floats());
        set_empty(kept_, n);
      }
      stage.bring(range.wanted);
      stage.expect(i + 1 < ranges.size() ? ranges[i + 1].wanted : of_next_layer(ranges[0].wanted));
      range_ = &range;
      one[range.sequence].n_tokens = sequence.n_tokens;
      attend_all(one, {window(), keeps_first(), range.begin, range.end});
      one[range.sequence].n_tokens = 0;
      if (i + 1 == ranges.size() || ranges[i + 1].sequence != range.sequence)
        finish_kept(range.sequence);
    }
    range_ = nullptr;
  }

  /// Of a sequence, [n_kv_heads, n_tokens, heads_per_kv], so that a tile's lie side by side.
  float* kept_states(const AttentionTile& tile) const {
    const int64_t n_tokens = sequences_[tile.sequence].n_tokens;
    return kept_ + (tile.kv_head * n_tokens + tile.first_token) * heads_per_kv_ * part_floats();
  }

  void finish_kept(size_t sequence) const {
    const int64_t n_tokens = sequences_[sequence].n_tokens;
    context_.pool.parallel_for(layout_.n_kv_heads * n_tokens, 16, [&](int64_t begin, int64_t end) {
      for (int64_t at = begin; at < end; ++at) {
        const AttentionTile tile{.sequence = sequence,
                                 .kv_head = at / n_tokens,
                                 .first_token = at % n_tokens,
                                 .n_tokens = 1};
        for (int64_t i = 0; i < heads_per_kv_; ++i)
          finish(tile, i, kept_states(tile) + i * part_floats());
      }
    });
  }

  /// The tokens that see all before them.
  std::vector<SequenceKv> dense_part() const {
    std::vector<SequenceKv> dense = sequences_;
    for (SequenceKv& sequence : dense) sequence.n_tokens = selection_->n_dense(sequence);
    return dense;
  }

  /// Some heads of a token, of the same key head and the same selection.
  struct SelectedItem {
    const SequenceKv* sequence;
    int64_t token, first_head, n_heads;
  };

  void attend_selected() const {
    constexpr int64_t kHeads = 16;  // enough to share what is gathered
    const int64_t per_group = spec_.n_heads / selection_->n_groups;
    std::vector<SelectedItem> items;
    for (const SequenceKv& sequence : sequences_) {
      for (int64_t i = selection_->n_dense(sequence); i < sequence.n_tokens; ++i) {
        for (int64_t head = 0; head < spec_.n_heads; head += items.back().n_heads) {
          const int64_t n = std::min(
              {kHeads, heads_per_kv_ - head % heads_per_kv_, per_group - head % per_group});
          items.push_back({&sequence, i, head, n});
        }
      }
    }
    context_.pool.parallel_for(std::ssize(items), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) attend_selected(items[static_cast<size_t>(i)]);
    });
  }

  /// The positions that were selected, in order; blocks are joined in their order, as where all is seen.
  void attend_selected(const SelectedItem& item) const {
    const int64_t row = item.sequence->first_row + item.token, n = item.n_heads;
    ThreadMemory& mine = memory();
    float* queries = at_least(mine.queries, n * lanes_);
    const int64_t first = (row * spec_.n_heads + item.first_head) * layout_.head_dim;
    for (int64_t i = 0; i < n; ++i) {
      float* query = queries + i * lanes_;
      transform(spec_.query, buffers_.input(0) + first + i * layout_.head_dim, row, query);
      std::fill(query + layout_.head_dim, query + lanes_, 0.0F);
    }
    float* states = empty_states(mine.state, n);
    const int64_t position = item.sequence->position + item.token;
    const int32_t* const runs =
        buffers_.ids(n_pairs_ > 0 ? 4 : 3) +
        (row * selection_->n_groups + item.first_head * selection_->n_groups / spec_.n_heads) *
            selection_->k;
    std::vector<int64_t> of_block;
    int64_t block = -1;
    const auto flush = [&] {
      if (!of_block.empty()) attend_some(item, block, of_block, queries, states);
      of_block.clear();
    };
    for (int64_t i = 0; i < selection_->k && runs[i] >= 0; ++i) {
      const int64_t begin = runs[i] * selection_->unit;
      const int64_t end = std::min(begin + selection_->unit, position + 1);
      for (int64_t p = begin; p < end; ++p) {
        if (p / kKvBlockTokens != block) flush();
        block = p / kKvBlockTokens;
        of_block.push_back(p % kKvBlockTokens);
      }
    }
    flush();
    for (int64_t i = 0; i < n; ++i) {
      const float* sink = spec_.sinks ? spec_.sinks->data() + item.first_head + i : nullptr;
      context_.kernels.finish_part(states + i * part_floats(), sink,
                                   static_cast<int32_t>(layout_.head_dim),
                                   buffers_.output() + first + i * layout_.head_dim);
    }
  }

  /// Rows `positions` of one block, put side by side.
  void attend_some(const SelectedItem& item, int64_t b, const std::vector<int64_t>& positions,
                   const float* queries, float* states) const {
    ThreadMemory& mine = memory();
    const residency::KvBlock& block = *item.sequence->blocks[static_cast<size_t>(b)];
    const int64_t kv_head = item.first_head / heads_per_kv_;
    const auto bytes = static_cast<size_t>(rows_.row_bytes());
    mine.keys.resize(positions.size() * bytes);
    mine.values.resize(layout_.keys_only ? 0 : positions.size() * bytes);
    for (size_t i = 0; i < positions.size(); ++i) {
      std::memcpy(mine.keys.data() + i * bytes, rows_.keys(block, kv_head, positions[i]), bytes);
      if (layout_.keys_only) continue;
      std::memcpy(mine.values.data() + i * bytes, rows_.values(block, kv_head, positions[i]),
                  bytes);
    }
    mine.visible.assign(static_cast<size_t>(item.n_heads),
                        {0, static_cast<int32_t>(positions.size())});
    kernels::AttendTask task;
    task.n_queries = item.n_heads;
    task.q = queries;
    task.visible = mine.visible.data();
    task.k = mine.keys.data();
    task.v = layout_.keys_only ? mine.keys.data() : mine.values.data();
    task.head_dim = static_cast<int32_t>(layout_.head_dim);
    task.type = layout_.type;
    task.scale = spec_.scale;
    task.softcap = spec_.softcap;
    task.parts = at_least(mine.part, item.n_heads * part_floats());
    context_.kernels.attend(task);
    for (int64_t i = 0; i < item.n_heads; ++i) {
      context_.kernels.join_part(task.parts + i * part_floats(), task.head_dim,
                                 states + i * part_floats());
    }
  }

  const Context& context_;
  const AttentionSpec& spec_;
  const KvLayerLayout& layout_;
  const LayerRows rows_;
  const std::vector<SequenceKv>& sequences_;
  int64_t n_rows_, n_pairs_;
  std::optional<SelectionShape> selection_;
  const Buffers& buffers_;
  int64_t heads_per_kv_, lanes_;
  AttentionPlan plan_;
  float* parts_ = nullptr;
  const SpilledRange* range_ = nullptr;  // null: what is computed with is in memory
  float* kept_ = nullptr;
};

}  // namespace

mx::array attention(const Context& context, const mx::array& q, const mx::array& k,
                    const mx::array& v, const std::optional<mx::array>& angles,
                    const AttentionSpec& spec, const KvLayerLayout& layout, KvView kv,
                    const std::optional<Selection>& selection) {
  std::vector<mx::array> inputs{q, k, v};
  if (angles) inputs.push_back(*angles);
  if (selection) inputs.push_back(selection->runs);
  const auto shape = selection ? std::optional(selection->shape) : std::nullopt;
  const int64_t n_rows = q.shape(0), n_pairs = angles ? angles->shape(2) : 0;
  // The result may take q's memory: a tile's queries are read before it is written, and by it alone.
  return kernel_op(
      context, "attention", std::move(inputs), q.shape(),
      [&context, spec, layout, n_rows, n_pairs, shape, kv = std::move(kv)](const Buffers& b) {
        Call(context, spec, layout, *kv, n_rows, n_pairs, shape, b).run();
      },
      0);
}

}  // namespace sluice::ops
