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

std::vector<ops::SequenceKv> KvCache::append(int64_t first_row, int64_t n_tokens) {
  if (table_.use_count() > 1) table_ = std::make_shared<Table>(*table_);
  std::vector<ops::SequenceKv> views;
  const int64_t first_written = length_ / kKvBlockTokens;
  const auto n_blocks =
      static_cast<size_t>((length_ + n_tokens + kKvBlockTokens - 1) / kKvBlockTokens);
  for (size_t g = 0; g < layout_->groups.size(); ++g) {
    auto& blocks = (*table_)[g];
    blocks.resize(n_blocks);
    const int64_t first_visible = first_visible_block(layout_->groups[g].window, length_);
    for (int64_t i = 0; i < std::min(first_visible, first_written); ++i)
      blocks[static_cast<size_t>(i)].reset();
    std::shared_ptr<residency::KvBlock> copy_from;
    for (auto i = static_cast<size_t>(first_written); i < n_blocks; ++i) {
      if (blocks[i] && blocks[i]->writer() == id_) continue;
      if (i == static_cast<size_t>(first_written) && length_ % kKvBlockTokens != 0)
        copy_from = blocks[i];
      blocks[i] = pool_->allocate(layout_->groups[g].block_bytes, id_);
    }
    views.push_back({first_row, n_tokens, length_, blocks, copy_from});
  }
  length_ += n_tokens;
  return views;
}

}  // namespace sluice::nn
