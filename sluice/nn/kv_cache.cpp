#include "sluice/nn/kv_cache.h"

#include <algorithm>
#include <atomic>

#include "sluice/base/error.h"

namespace sluice::nn {
namespace {

using kernels::kKvBlockTokens;

uint64_t next_id() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

/// The first block that a token at `position` still sees through a window.
int64_t first_visible_block(int64_t window, int64_t position) {
  return window == 0 ? 0 : std::max<int64_t>(0, position - window + 1) / kKvBlockTokens;
}

int64_t n_blocks(int64_t n_tokens) { return (n_tokens + kKvBlockTokens - 1) / kKvBlockTokens; }

}  // namespace

KvLayout::KvLayout(const std::vector<Layer>& specs, kernels::KvType type) {
  const int64_t element_bytes = type == kernels::KvType::f32 ? 4 : 2;
  for (const Layer& spec : specs) {
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const Group& g) { return g.window == spec.window; });
    if (group == groups.end()) group = groups.insert(groups.end(), Group{spec.window, {}});
    group_of_layer.push_back(static_cast<size_t>(group - groups.begin()));
    layers.push_back(
        {spec.n_kv_heads, spec.head_dim, type, static_cast<int64_t>(group->block_bytes.count)});
    group->block_bytes.count +=
        static_cast<uint64_t>(2 * spec.n_kv_heads * kKvBlockTokens * spec.head_dim * element_bytes);
  }
}

KvCache::KvCache(std::shared_ptr<const KvLayout> layout, residency::KvPool& pool)
    : layout_(std::move(layout)),
      pool_(&pool),
      table_(std::make_shared<Table>(layout_->groups.size())),
      id_(next_id()) {}

KvCache::KvCache(std::shared_ptr<const KvLayout> layout, residency::KvPool& pool, int64_t length,
                 std::span<const KvStretch> stretches)
    : KvCache(std::move(layout), pool) {
  for (const KvStretch& stretch : stretches) {
    for (size_t g = 0; g < stretch.size(); ++g) (*table_)[g].push_back(stretch[g]);
  }
  length_ = length;
  if (!can_trim(length)) fail(ErrorKind::internal, "KV of {} tokens lacks blocks", length);
}

KvStretch KvCache::stretch(int64_t i) const {
  KvStretch blocks;
  for (const auto& group : *table_) blocks.push_back(group[static_cast<size_t>(i)]);
  return blocks;
}

KvCache KvCache::snapshot() {
  KvCache copy = *this;
  copy.id_ = next_id();
  id_ = next_id();
  return copy;
}

bool KvCache::can_trim(int64_t length) const {
  if (length < 0 || length > length_) return false;
  for (size_t g = 0; g < layout_->groups.size(); ++g) {
    const int64_t first = first_visible_block(layout_->groups[g].window, length);
    const int64_t end = (length + kKvBlockTokens - 1) / kKvBlockTokens;
    for (int64_t block = first; block < end; ++block) {
      if (!(*table_)[g][static_cast<size_t>(block)]) return false;
    }
  }
  return true;
}

void KvCache::trim(int64_t length) {
  if (!can_trim(length))
    fail(ErrorKind::internal, "KV of {} tokens cannot be trimmed to {}", length_, length);
  length_ = length;  // append() drops the blocks behind it
}

bool KvCache::may_write(size_t group, size_t block) const {
  const auto& blocks = (*table_)[group];
  return block < blocks.size() && blocks[block] && blocks[block]->writer() == id_;
}

std::vector<residency::KvNeed> KvCache::needs(int64_t n_tokens) const {
  std::vector<residency::KvNeed> needs;
  for (size_t g = 0; g < layout_->groups.size(); ++g) {
    residency::KvNeed need{layout_->groups[g].block_bytes};
    const auto end = static_cast<size_t>(n_blocks(length_ + n_tokens));
    for (auto i = static_cast<size_t>(length_ / kKvBlockTokens); i < end; ++i) {
      if (!may_write(g, i)) ++need.count;
    }
    needs.push_back(need);
  }
  return needs;
}

std::vector<ops::SequenceKv> KvCache::append(int64_t first_row, int64_t n_tokens) {
  residency::KvReservation blocks = reserve_or_throw(*pool_, needs(n_tokens));
  return append(first_row, n_tokens, blocks);
}

std::vector<ops::SequenceKv> KvCache::append(int64_t first_row, int64_t n_tokens,
                                             residency::KvReservation& reserved) {
  auto table = std::make_shared<Table>(*table_);
  std::vector<ops::SequenceKv> views;
  const auto first_written = static_cast<size_t>(length_ / kKvBlockTokens);
  const auto end = static_cast<size_t>(n_blocks(length_ + n_tokens));
  for (size_t g = 0; g < layout_->groups.size(); ++g) {
    auto& blocks = (*table)[g];
    blocks.resize(end);
    const int64_t first_visible = first_visible_block(layout_->groups[g].window, length_);
    for (size_t i = 0; i < std::min(static_cast<size_t>(first_visible), first_written); ++i) {
      blocks[i].reset();
    }
    std::shared_ptr<residency::KvBlock> copy_from;
    for (size_t i = first_written; i < end; ++i) {
      if (may_write(g, i)) continue;
      if (i == first_written && length_ % kKvBlockTokens != 0) copy_from = blocks[i];
      blocks[i] = reserved.take(layout_->groups[g].block_bytes, id_);
    }
    views.push_back({first_row, n_tokens, length_, blocks, copy_from});
  }
  // From here on nothing throws.
  table_ = std::move(table);
  length_ += n_tokens;
  const auto full = static_cast<size_t>(length_ / kKvBlockTokens);
  for (auto& blocks : *table_) {
    for (size_t i = first_written; i < full; ++i) blocks[i]->seal();
  }
  return views;
}

int64_t most_blocks(const KvLayout::Group& group, int64_t n_tokens, int64_t step) {
  const int64_t all = n_blocks(n_tokens);
  return group.window == 0 ? all : std::min(all, (group.window + step) / kKvBlockTokens + 2);
}

int64_t snapshot_blocks(const KvLayout::Group& group, int64_t n_tokens) {
  const int64_t seen = group.window / kKvBlockTokens + 2;
  return 1 + (group.window == 0 ? 1 : std::min(n_blocks(n_tokens), seen));
}

residency::KvReservation reserve_or_throw(residency::KvPool& pool,
                                          std::span<const residency::KvNeed> needs) {
  if (auto blocks = pool.reserve(needs)) return std::move(*blocks);
  Bytes wanted;
  for (const residency::KvNeed& need : needs) {
    wanted.count += need.block.count * static_cast<uint64_t>(need.count);
  }
  fail(
      ErrorKind::over_budget,
      "{} more of keys and values are wanted, {} of {} are in use; end another sequence, or give a "
      "larger --ram or a smaller --ctx",
      to_string(wanted), to_string(pool.in_use()), to_string(pool.cap()));
}

}  // namespace sluice::nn
