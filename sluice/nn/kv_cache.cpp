#include "sluice/nn/kv_cache.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "sluice/base/error.h"

namespace sluice::nn {
namespace {

using kernels::kKvBlockTokens;

uint64_t next_id() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

int64_t n_blocks(int64_t n_tokens) { return (n_tokens + kKvBlockTokens - 1) / kKvBlockTokens; }

/// Whether a stretch has codes in a sequence of so many tokens: each whole one but the first.
bool is_coded(int64_t i, int64_t n_tokens) { return i > 0 && (i + 1) * kKvBlockTokens <= n_tokens; }

}  // namespace

bool KvLayout::Group::needs(int64_t i, int64_t position) const {
  if (codes) return is_coded(i, position);
  if (!passes(i)) return true;
  const int64_t seen = recurrent ? 1 : window - 1;  // tokens before it
  return i >= std::max<int64_t>(0, position - seen) / kKvBlockTokens;
}

size_t KvLayout::group_like(const Group& wanted) {
  const auto group = std::ranges::find_if(groups, [&](const Group& g) {
    return g.window == wanted.window && g.recurrent == wanted.recurrent &&
           g.codes == wanted.codes && g.keeps_first == wanted.keeps_first;
  });
  const auto i = static_cast<size_t>(group - groups.begin());
  if (i == groups.size()) groups.push_back(wanted);
  return i;
}

/// Room for so many bytes in a group's blocks. Returns where, and which part of them that is.
int64_t KvLayout::take(size_t group, int64_t bytes, size_t& part) {
  const uint64_t before = groups[group].block_bytes.count;
  part = groups[group].parts.size();
  groups[group].parts.push_back({before, static_cast<uint64_t>(bytes)});
  groups[group].block_bytes.count += static_cast<uint64_t>(bytes);
  return static_cast<int64_t>(before);
}

size_t KvLayout::add(const Group& wanted, const ops::KvLayerLayout& layer, int64_t bytes) {
  group_of_layer.push_back(group_like(wanted));
  layers.push_back(layer);
  layers.back().offset = take(group_of_layer.back(), bytes, layers.back().part);
  return layers.size() - 1;
}

size_t KvLayout::add_kv(int64_t n_kv_heads, int64_t head_dim, int64_t window) {
  ops::KvLayerLayout layer{n_kv_heads, head_dim, format_.type, 0, false};
  const int64_t bytes =
      2 * n_kv_heads * kKvBlockTokens * head_dim * ops::element_bytes(format_.type);
  if (window > 0) return add({.window = window}, layer, bytes);
  if (!format_.code) return add_bounded(layer, bytes);
  layer.code = format_.code;
  layer.recent = format_.recent;
  layer.code_offset =
      take(group_like({.codes = true}), n_kv_heads * format_.code.bytes(head_dim), layer.code_part);
  return add({.window = format_.recent + 1, .keeps_first = true}, layer, bytes);
}

size_t KvLayout::add_latent(int64_t width, int64_t window, int64_t ratio) {
  if (format_.code) {
    fail(ErrorKind::unsupported,
         "--kv-bits: this model keeps vectors without values of their own (MLA, or an indexer's "
         "keys), "
         "which have no form of few bits; leave it out");
  }
  const int64_t rows = (kKvBlockTokens + ratio - 1) / ratio;
  const ops::KvLayerLayout layer{1, width, format_.type, 0, true, ratio};
  const int64_t bytes = rows * width * ops::element_bytes(format_.type);
  if (window == 0 && ratio == 1) return add_bounded(layer, bytes);
  if (format_.max_size > 0 && window == 0) {
    fail(ErrorKind::unsupported,
         "--max-kv-size: this model keeps rows that stand for {} tokens, of which none is left "
         "out; leave it out",
         ratio);
  }
  return add({.window = window}, layer, bytes);
}

size_t KvLayout::add_pair(int64_t width, int64_t window) {
  constexpr auto kFloats = kernels::KvType::f32;
  return add({.window = window}, {1, width, kFloats},
             2 * kKvBlockTokens * width * ops::element_bytes(kFloats));
}

/// Of a layer that sees everything, or what the format leaves of that.
size_t KvLayout::add_bounded(ops::KvLayerLayout layer, int64_t bytes) {
  if (format_.max_size == 0) return add({}, layer, bytes);
  layer.last = format_.max_size - ops::kFirstTokens;
  return add({.window = layer.last, .keeps_first = true}, layer, bytes);
}

bool KvLayout::is_bounded() const {
  return std::ranges::any_of(layers,
                             [](const ops::KvLayerLayout& layer) { return layer.last > 0; });
}

std::optional<size_t> KvLayout::group_of_codes() const {
  const auto found = std::ranges::find_if(groups, &Group::codes);
  if (found == groups.end()) return std::nullopt;
  return static_cast<size_t>(found - groups.begin());
}

size_t KvLayout::add_state(int64_t n, kernels::KvType type) {
  constexpr int64_t kLine = 64;  // bytes
  ops::KvLayerLayout layer;
  layer.type = type;
  return add({.recurrent = true}, layer,
             (n * ops::element_bytes(type) + kLine - 1) / kLine * kLine);
}

size_t KvLayout::add_state(int64_t n_floats) { return add_state(n_floats, kernels::KvType::f32); }

size_t KvLayout::add_recurrence(int64_t n) {
  has_recurrences_ = true;
  return add_state(n, format_.state_type);
}

bool KvLayout::has_states() const {
  return std::ranges::any_of(groups, [](const Group& g) { return g.recurrent; });
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
  n_rows_ = length;
  if (!can_trim(length)) fail(ErrorKind::internal, "KV of {} tokens lacks blocks", length);
}

KvStretch KvCache::stretch(int64_t i) const {
  KvStretch blocks;
  for (size_t g = 0; g < table_->size(); ++g) {
    const auto& block = (*table_)[g][static_cast<size_t>(i)];
    // A state that the same step will write anew is none to keep.
    const bool passing = layout_->groups[g].recurrent && step_end_ > n_rows_ && block &&
                         block->writer() != residency::KvBlock::kSealed;
    blocks.push_back(passing ? nullptr : block);
  }
  return blocks;
}

KvCache KvCache::snapshot() {
  KvCache copy = *this;
  copy.id_ = next_id();
  id_ = next_id();
  return copy;
}

bool KvCache::can_trim(int64_t length) const {
  const int64_t n_rows = length - n_left_out_;
  if (n_rows < n_kept_ || n_rows > n_rows_) return false;
  for (size_t g = 0; g < layout_->groups.size(); ++g) {
    const KvLayout::Group& group = layout_->groups[g];
    if (group.recurrent && n_rows < n_rows_ && n_rows % kKvBlockTokens != 0) return false;
    for (int64_t block = 0; block < n_blocks(n_rows); ++block) {
      if (group.needs(block, n_rows) && !(*table_)[g][static_cast<size_t>(block)]) return false;
    }
  }
  return true;
}

void KvCache::trim(int64_t length) {
  if (!can_trim(length))
    fail(ErrorKind::internal, "KV of {} tokens cannot be trimmed to {}", this->length(), length);
  n_rows_ = length - n_left_out_;  // append() drops the blocks behind it
}

Bytes KvCache::spill(Bytes wanted, Spilled what) {
  Bytes got;
  for (size_t g = 0; g < table_->size(); ++g) {
    const KvLayout::Group& group = layout_->groups[g];
    if (group.recurrent || (group.window > 0 && what == Spilled::seen_by_all)) continue;
    // First what is in the file already; then the last ones, so that a sequence that grows beyond memory writes each block
    // once, and its beginning stays.
    auto& blocks = (*table_)[g];
    for (const bool written : {true, false}) {
      for (auto block = blocks.rbegin(); block != blocks.rend() && got < wanted; ++block) {
        if (!*block || (*block)->writer() != residency::KvBlock::kSealed) continue;
        if (written && !(*block)->stored()) continue;
        // Others go on with it: it is in their tables, and in the prefix index.
        if (what == Spilled::whole && block->use_count() > 2) continue;
        if ((*block)->spill(group.parts)) got = got + group.block_bytes;
      }
    }
  }
  return got;
}

void KvCache::restore(Bytes room) {
  for (size_t g = 0; g < table_->size(); ++g) {
    const Bytes bytes = layout_->groups[g].block_bytes;
    for (const auto& block : (*table_)[g]) {
      if (!block || block->in_memory()) continue;
      if (room < bytes || !block->restore()) break;
      room = difference(room, bytes);
    }
  }
}

bool KvCache::is_lost() const {
  return std::ranges::any_of(*table_, [](const auto& blocks) {
    return std::ranges::any_of(blocks, [](const auto& block) { return block && block->is_lost(); });
  });
}

bool KvCache::may_write(size_t group, size_t block) const {
  const auto& blocks = (*table_)[group];
  return block < blocks.size() && blocks[block] && blocks[block]->writer() == id_;
}

/// Which states an append leaves. That of its last token the step's next part takes over and writes anew; that of the
/// step's last multiple of 256 is kept.
struct KvCache::StateAppend {
  int64_t begin, n_tokens, end, checkpoint;
  bool takes_over;

  /// step_end: in rows.
  StateAppend(const KvCache& kv, int64_t n, int64_t step_end)
      : begin(kv.n_rows_),
        n_tokens(n),
        end(begin + n),
        checkpoint(std::max(end, step_end) / kKvBlockTokens * kKvBlockTokens),
        takes_over(kv.step_end_ > begin && begin != checkpoint) {}

  bool passes_checkpoint() const { return begin < checkpoint && checkpoint < end; }
  int64_t n_new() const { return (takes_over ? 0 : 1) + (passes_checkpoint() ? 1 : 0); }
};

std::vector<residency::KvNeed> KvCache::needs(int64_t n_tokens, int64_t step_end,
                                              int64_t n_kept) const {
  std::vector<residency::KvNeed> needs;
  for (size_t g = 0; g < layout_->groups.size(); ++g) {
    residency::KvNeed need{layout_->groups[g].block_bytes};
    if (layout_->groups[g].recurrent) {
      need.count = StateAppend(*this, n_tokens, step_end - n_left_out_).n_new();
      needs.push_back(need);
      continue;
    }
    const auto end = static_cast<size_t>(n_blocks(n_rows_ + n_tokens));
    for (auto i = static_cast<size_t>(n_rows_ / kKvBlockTokens); i < end; ++i) {
      const bool is_new = layout_->groups[g].codes
                              ? is_coded(static_cast<int64_t>(i), n_rows_ + n_tokens)
                              : !may_write(g, i);
      if (is_new) ++need.count;
    }
    need.count += n_kept_blocks(layout_->groups[g], n_kept);
    needs.push_back(need);
  }
  return needs;
}

std::vector<ops::SequenceKv> KvCache::append(int64_t first_row, int64_t n_tokens) {
  residency::KvReservation blocks = reserve_or_throw(*pool_, needs(n_tokens));
  return append(first_row, n_tokens, blocks);
}

ops::SequenceKv KvCache::append_state(size_t g, const StateAppend& append,
                                      std::vector<std::shared_ptr<residency::KvBlock>>& blocks,
                                      residency::KvReservation& reserved) const {
  const Bytes bytes = layout_->groups[g].block_bytes;
  std::shared_ptr<residency::KvBlock> before;
  if (n_rows_ > 0) before = blocks[static_cast<size_t>((n_rows_ - 1) / kKvBlockTokens)];
  auto after = append.takes_over ? before : reserved.take(bytes, id_);
  for (auto& block : blocks) block.reset();
  blocks.resize(static_cast<size_t>(n_blocks(append.end)));
  if (append.passes_checkpoint()) {
    auto& at = blocks[static_cast<size_t>(append.checkpoint / kKvBlockTokens - 1)];
    at = reserved.take(bytes, id_);
    at->seal();
  }
  if (append.checkpoint == append.end) after->seal();
  blocks.back() = std::move(after);
  return {0, append.n_tokens, n_rows_, blocks, before};
}

/// Of each stretch that is completed, the first left out. What an earlier, trimmed end had is not looked at.
void KvCache::append_codes(size_t g, int64_t n_tokens,
                           std::vector<std::shared_ptr<residency::KvBlock>>& blocks,
                           residency::KvReservation& reserved) const {
  blocks.resize(static_cast<size_t>(n_rows_ / kKvBlockTokens));
  for (int64_t i = std::ssize(blocks); i < n_blocks(n_rows_ + n_tokens); ++i) {
    std::shared_ptr<residency::KvBlock> block;
    if (is_coded(i, n_rows_ + n_tokens))
      block = reserved.take(layout_->groups[g].block_bytes, residency::KvBlock::kSealed);
    blocks.push_back(std::move(block));
  }
}

std::shared_ptr<KvCache::Table> KvCache::blocks_to_keep(int64_t n_kept, const Table& table,
                                                        residency::KvReservation& reserved) const {
  auto kept = std::make_shared<Table>(table.size());
  for (size_t g = 0; g < table.size(); ++g) {
    const KvLayout::Group& group = layout_->groups[g];
    auto& blocks = (*kept)[g];
    blocks.resize(static_cast<size_t>(n_blocks(n_kept)));
    for (size_t i = 0; i < blocks.size() && !group.recurrent; ++i) {
      if (group.needs(static_cast<int64_t>(i), n_kept))
        blocks[i] = reserved.take(group.block_bytes, id_);
    }
    if (group.recurrent) blocks.back() = table[g].back();
  }
  return kept;
}

std::vector<ops::SequenceKv> KvCache::append(int64_t first_row, int64_t n_tokens,
                                             residency::KvReservation& reserved, int64_t step_end,
                                             int64_t n_kept) {
  step_end -= n_left_out_;
  auto table = std::make_shared<Table>(*table_);
  std::vector<ops::SequenceKv> views;
  const auto first_written = static_cast<size_t>(n_rows_ / kKvBlockTokens);
  const auto end = static_cast<size_t>(n_blocks(n_rows_ + n_tokens));
  for (size_t g = 0; g < layout_->groups.size(); ++g) {
    auto& blocks = (*table)[g];
    if (layout_->groups[g].recurrent) {
      views.push_back(append_state(g, StateAppend(*this, n_tokens, step_end), blocks, reserved));
      views.back().first_row = first_row;
      continue;
    }
    if (layout_->groups[g].codes) {
      append_codes(g, n_tokens, blocks, reserved);
      views.push_back({first_row, n_tokens, n_rows_, {}, nullptr});
      continue;
    }
    blocks.resize(end);
    const int64_t since = layout_->groups[g].keeps_first
                              ? n_rows_ / kKvBlockTokens * kKvBlockTokens  // where it can be cut
                              : n_rows_;
    for (size_t i = 0; i < first_written; ++i) {
      if (!layout_->groups[g].needs(static_cast<int64_t>(i), since)) blocks[i].reset();
    }
    std::shared_ptr<residency::KvBlock> copy_from;
    for (size_t i = first_written; i < end; ++i) {
      if (may_write(g, i)) continue;
      if (i == first_written && n_rows_ % kKvBlockTokens != 0) copy_from = blocks[i];
      blocks[i] = reserved.take(layout_->groups[g].block_bytes, id_);
    }
    views.push_back({first_row, n_tokens, n_rows_, blocks, copy_from});
  }
  if (const auto codes = layout_->group_of_codes()) {
    for (size_t g = 0; g < views.size(); ++g) {
      if (layout_->groups[g].keeps_first) views[g].coded = (*table)[*codes];
    }
  }
  std::shared_ptr<Table> kept = n_kept > 0 ? blocks_to_keep(n_kept, *table, reserved) : nullptr;
  for (size_t g = 0; kept && g < views.size(); ++g) {
    if (!layout_->groups[g].recurrent) views[g].kept = (*kept)[g];
  }
  // From here on nothing throws.
  table_ = std::move(table);
  kept_ = std::move(kept);
  n_rows_ += n_tokens;
  step_end_ = step_end;
  const auto full = static_cast<size_t>(n_rows_ / kKvBlockTokens);
  for (size_t g = 0; g < table_->size(); ++g) {
    if (layout_->groups[g].recurrent || layout_->groups[g].codes) continue;
    for (size_t i = first_written; i < full; ++i) (*table_)[g][i]->seal();
  }
  return views;
}

void KvCache::prune() {
  table_ = std::exchange(kept_, nullptr);
  n_kept_ = std::ssize((*table_)[0]) * kKvBlockTokens;
  n_left_out_ = n_rows_ - n_kept_;
  n_rows_ = n_kept_;
  step_end_ = 0;
  for (const auto& blocks : *table_) {
    for (const auto& block : blocks) {
      if (block) block->seal();
    }
  }
}

int64_t n_kept_blocks(const KvLayout::Group& group, int64_t n_kept) {
  int64_t n = 0;
  for (int64_t i = 0; i < n_blocks(n_kept) && !group.recurrent; ++i) n += group.needs(i, n_kept);
  return n;
}

int64_t most_blocks(const KvLayout::Group& group, int64_t n_tokens, int64_t step) {
  if (group.recurrent)
    return 5;  // before and after a step, at a boundary, and after the step that was begun with it
  const int64_t all = n_blocks(n_tokens);
  // The first one, and one since which a sequence can be cut.
  const int64_t more = group.keeps_first ? 2 : 0;
  return group.window == 0 ? all : std::min(all, (group.window + step) / kKvBlockTokens + 2 + more);
}

int64_t snapshot_blocks(const KvLayout::Group& group, int64_t n_tokens) {
  if (group.recurrent) return 2;
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
