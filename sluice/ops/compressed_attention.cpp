#include "sluice/ops/compressed_attention.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "sluice/ops/kernel_op.h"
#include "sluice/ops/kv_rows.h"

namespace sluice::ops {
namespace {

using kernels::kKvBlockTokens;
using kernels::kPartHeader;

constexpr int64_t kHeads = 16;  // of a token together: they share what is read

/// A thread's memory for one item, kept from call to call.
struct ThreadMemory {
  std::vector<float> queries, part, states;
  std::vector<std::byte> rows;
};

/// Some heads of one token.
struct Item {
  const SequenceKv* sequence;
  const SequenceKv* compressed;  // or null
  int64_t token, first_head, n_heads;

  int64_t row() const { return sequence->first_row + token; }
  int64_t position() const { return sequence->position + token; }
};

/// One evaluation of the primitive. Parts are joined in the order of blocks, the window's before the others'.
class Call {
 public:
  Call(const Context& context, const AttentionSpec& spec, const KvLayerLayout& layout,
       const std::optional<CompressedRows>& compressed, int64_t n_rows, int64_t n_pairs,
       const Buffers& b)
      : context_(context),
        spec_(spec),
        rows_{layout},
        compressed_(compressed),
        n_rows_(n_rows),
        n_pairs_(n_pairs),
        buffers_(b),
        lanes_((layout.head_dim + 15) / 16 * 16) {}

  void run(const std::vector<SequenceKv>& sequences) const {
    std::vector<Item> items;
    for (size_t s = 0; s < sequences.size(); ++s) {
      const SequenceKv* const of = compressed_ ? &(*compressed_->kv)[s] : nullptr;
      for (int64_t i = 0; i < sequences[s].n_tokens; ++i) {
        for (int64_t head = 0; head < spec_.n_heads; head += kHeads)
          items.push_back({&sequences[s], of, i, head, std::min(kHeads, spec_.n_heads - head)});
      }
    }
    context_.pool.parallel_for(std::ssize(items), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) attend(items[static_cast<size_t>(i)]);
    });
  }

 private:
  int64_t part_floats() const { return kPartHeader + lanes_; }
  int64_t head_dim() const { return rows_.layout.head_dim; }

  void attend(const Item& item) const {
    thread_local ThreadMemory mine;
    const int64_t n = item.n_heads,
                  first = (item.row() * spec_.n_heads + item.first_head) * head_dim();
    mine.queries.assign(static_cast<size_t>(n * lanes_), 0.0F);
    const float* const cos = n_pairs_ > 0 ? buffers_.input(2) + item.row() * n_pairs_ : nullptr;
    for (int64_t i = 0; i < n; ++i) {
      transform_head(context_.kernels, spec_.query, buffers_.input(0) + first + i * head_dim(),
                     head_dim(), cos, n_pairs_ > 0 ? cos + n_rows_ * n_pairs_ : nullptr, n_pairs_,
                     mine.queries.data() + i * lanes_);
    }
    mine.part.resize(static_cast<size_t>(n * part_floats()));
    mine.states.assign(static_cast<size_t>(n * part_floats()), 0.0F);
    for (int64_t i = 0; i < n; ++i)
      mine.states[static_cast<size_t>(i * part_floats())] = -std::numeric_limits<float>::infinity();
    attend_window(item, mine);
    if (compressed_) attend_chosen(item, mine);
    for (int64_t i = 0; i < n; ++i) {
      const float* const sink = spec_.sinks ? spec_.sinks->data() + item.first_head + i : nullptr;
      context_.kernels.finish_part(mine.states.data() + i * part_floats(), sink,
                                   static_cast<int32_t>(head_dim()),
                                   buffers_.output() + first + i * head_dim());
    }
  }

  void attend_window(const Item& item, ThreadMemory& mine) const {
    const int64_t end = item.position() + 1, begin = std::max<int64_t>(0, end - spec_.window);
    for (int64_t b = begin / kKvBlockTokens; b * kKvBlockTokens < end; ++b) {
      const int64_t from = std::max<int64_t>(0, begin - b * kKvBlockTokens);
      const int64_t to = std::min<int64_t>(kKvBlockTokens, end - b * kKvBlockTokens);
      const residency::KvBlock& block = *item.sequence->blocks[static_cast<size_t>(b)];
      attend_rows(item, rows_.keys(block, 0, 0), rows_.layout.type, from, to, mine);
    }
  }

  void attend_chosen(const Item& item, ThreadMemory& mine) const {
    const KvLayerLayout& layout = compressed_->layout;
    const LayerRows from{layout};
    const SelectionShape& shape = compressed_->chosen.shape;
    const int32_t* const chosen = buffers_.ids(n_pairs_ > 0 ? 3 : 2) + item.row() * shape.k;
    const int64_t n_seen = layout.rows_before(item.position() + 1);
    const bool sees_all = n_seen <= shape.k;
    const int64_t n = sees_all ? n_seen : shape.k;
    const auto bytes = static_cast<size_t>(from.row_bytes());
    mine.rows.resize(static_cast<size_t>(std::min<int64_t>(n, kKvBlockTokens)) * bytes);
    for (int64_t i = 0, gathered = 0; i < n; ++i) {
      const int64_t row = sees_all ? i : chosen[i], b = layout.block_of(row);
      const residency::KvBlock& block = *item.compressed->blocks[static_cast<size_t>(b)];
      std::memcpy(mine.rows.data() + static_cast<size_t>(gathered++) * bytes,
                  from.keys(block, 0, row - layout.first_row(b)), bytes);
      if (i + 1 < n && layout.block_of(sees_all ? i + 1 : chosen[i + 1]) == b) continue;
      attend_rows(item, mine.rows.data(), layout.type, 0, gathered, mine);
      gathered = 0;
    }
  }

  /// Rows [begin, end) of those that lie side by side at `rows`.
  void attend_rows(const Item& item, const std::byte* rows, kernels::KvType type, int64_t begin,
                   int64_t end, ThreadMemory& mine) const {
    kernels::Visible visible[kHeads];
    std::fill_n(visible, item.n_heads,
                kernels::Visible{static_cast<int32_t>(begin), static_cast<int32_t>(end)});
    kernels::AttendTask task;
    task.n_queries = item.n_heads;
    task.q = mine.queries.data();
    task.visible = visible;
    task.k = task.v = rows;
    task.head_dim = static_cast<int32_t>(head_dim());
    task.type = type;
    task.scale = spec_.scale;
    task.parts = mine.part.data();
    context_.kernels.attend(task);
    for (int64_t i = 0; i < item.n_heads; ++i) {
      context_.kernels.join_part(mine.part.data() + i * part_floats(), task.head_dim,
                                 mine.states.data() + i * part_floats());
    }
  }

  const Context& context_;
  const AttentionSpec& spec_;
  const LayerRows rows_;
  const std::optional<CompressedRows>& compressed_;
  int64_t n_rows_, n_pairs_;
  const Buffers& buffers_;
  int64_t lanes_;
};

}  // namespace

mx::array attend_compressed(const Context& context, const mx::array& q, const mx::array& rows,
                            const std::optional<mx::array>& angles, const AttentionSpec& spec,
                            const KvLayerLayout& layout, KvView kv,
                            const std::optional<CompressedRows>& compressed) {
  std::vector<mx::array> inputs{q, rows};
  if (angles) inputs.push_back(*angles);
  if (compressed) inputs.push_back(compressed->chosen.runs);
  const int64_t n_rows = q.shape(0), n_pairs = angles ? angles->shape(2) : 0;
  // The result may take q's memory: an item's queries are read before it is written, and by it alone.
  return kernel_op(
      context, "attend_compressed", std::move(inputs), q.shape(),
      [&context, spec, layout, n_rows, n_pairs, compressed, kv = std::move(kv)](const Buffers& b) {
        Call(context, spec, layout, compressed, n_rows, n_pairs, b).run(*kv);
      },
      0);
}

}  // namespace sluice::ops
