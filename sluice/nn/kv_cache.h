#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "sluice/nn/kv_format.h"
#include "sluice/ops/attention.h"
#include "sluice/residency/kv_pool.h"

namespace sluice::nn {

/// How a model's keys, values and states are laid out in blocks. Layers with the same sliding window share
/// blocks, since they drop them together; so do layers with states. Layers that keep few bits have blocks of two
/// groups: of codes, and of what is not read in few bits yet, which slides as a window does but for its first block; so
/// do those of layers whose cache is bounded.
struct KvLayout {
  struct Group {
    int64_t window = 0;        ///< 0: unbounded
    bool recurrent = false;    ///< a block has what its last token left, not what each of them did
    bool codes = false;        ///< a block has few bits of a whole stretch, and the first has none
    bool keeps_first = false;  ///< the window never passes the first block
    Bytes block_bytes = {};
    std::vector<residency::KvPart> parts = {};  ///< of a block, a layer's each

    /// Whether a token at `position`, or a later one, needs something of the blocks of stretch `i`, which ends at
    /// `position` or before, or holds it.
    bool needs(int64_t i, int64_t position) const;
    /// Whether there comes a token from which on no one needs it.
    bool passes(int64_t i) const { return recurrent || (window > 0 && !(keeps_first && i == 0)); }
  };

  explicit KvLayout(const KvFormat& format = {}) : format_(format) {}

  /// Room for one layer's keys and values; window 0: unbounded. Returns the slot, an index of `layers`.
  size_t add_kv(int64_t n_kv_heads, int64_t head_dim, int64_t window);
  /// Room for one row of a layer, which is every head's key and value; for `ratio` tokens together.
  size_t add_latent(int64_t width, int64_t window = 0, int64_t ratio = 1);
  /// Room for two rows of a token, of float32 whatever the others are.
  size_t add_pair(int64_t width, int64_t window);
  /// Room for so many floats that a layer carries from token to token.
  size_t add_state(int64_t n_floats);
  /// Room for so many numbers that a recurrence carries, which are kept as KvFormat::state_type.
  size_t add_recurrence(int64_t n);

  bool has_states() const;
  bool has_recurrences() const { return has_recurrences_; }
  std::optional<size_t> group_of_codes() const;
  bool is_bounded() const;  ///< layers that would see everything do not

  bool selects = false;  ///< layers choose among all keys, so that these must be in memory
  bool by_position =
      false;  ///< what a token sees of others depends on where these stand: chunks, sparse blocks
  std::vector<Group> groups;
  std::vector<size_t> group_of_layer;      ///< by slot
  std::vector<ops::KvLayerLayout> layers;  ///< by slot

 private:
  size_t group_like(const Group& wanted);
  int64_t take(size_t group, int64_t bytes, size_t& part);
  size_t add(const Group& group, const ops::KvLayerLayout& layer, int64_t bytes);
  size_t add_state(int64_t n, kernels::KvType type);
  size_t add_bounded(ops::KvLayerLayout layer, int64_t bytes);
  KvFormat format_;
  bool has_recurrences_ = false;
};

/// The blocks that hold one stretch of 256 tokens, an entry per group; null where a sliding window has passed, and where
/// no state was kept.
using KvStretch = std::vector<std::shared_ptr<residency::KvBlock>>;

/// The keys and values of one sequence: blocks of 256 tokens at absolute positions. Only the engine's
/// thread touches it; tasks that read or write blocks hold references to them.
///
/// An open block may be written by the one cache whose id it carries. snapshot() gives both sides
/// new ids, so whoever next writes into a shared, partly filled block writes into a copy of it. A
/// block that a step fills is sealed with it, for ever: after trim() its own writer too goes on in
/// a copy. So snapshot and restore cost O(1), no branch can change another, and whoever keeps a
/// reference to a full block may rely on it.
///
/// Few bits: the step that completes a stretch codes it too; floats stay as long as a token since the last whole stretch
/// may need them, so that a sequence can be cut there.
///
/// States: every append() has blocks of its own, into which the step writes what its last token leaves, and what the
/// last one at a multiple of 256 left. So the state before a step is there until the step is over, whatever becomes of it.
///
/// Pruned: of a prompt some tokens' rows have moved together into blocks of this sequence alone. A row's place is then its
/// position less what was left out, in all layers alike.
class KvCache {
 public:
  KvCache(std::shared_ptr<const KvLayout> layout, residency::KvPool& pool);
  /// A sequence of `length` tokens that are in these blocks, which others may hold too: stretches[i] has positions
  /// [256 i, 256 i + 256), the last one perhaps more than belongs to this sequence.
  KvCache(std::shared_ptr<const KvLayout> layout, residency::KvPool& pool, int64_t length,
          std::span<const KvStretch> stretches);

  int64_t length() const { return n_rows_ + n_left_out_; }
  residency::KvPool& pool() const { return *pool_; }

  /// The blocks of positions [256 i, 256 i + 256), below length(), while it is not pruned.
  KvStretch stretch(int64_t i) const;

  /// A copy that shares all blocks. Restore by assigning it back.
  KvCache snapshot();

  /// Whether trim(length) would keep all that later tokens need to see: a sliding window may have
  /// dropped blocks that become visible again.
  bool can_trim(int64_t length) const;
  /// Forgets the tokens from `length` on. Throws Error(internal) unless can_trim(length).
  void trim(int64_t length);

  /// Which blocks are spilled: those that every step reads (all of a layer without a window), or also those that windows
  /// have, of a sequence that waits.
  enum class Spilled : uint8_t { seen_by_all, whole };
  /// Spills sealed blocks, while no step is in flight, until the pool has got `wanted` bytes. Returns what it got.
  Bytes spill(Bytes wanted, Spilled what);
  /// Has spilled blocks come back, the first ones first, as long as `room` has room for them. Throws residency::SpillError.
  void restore(Bytes room);
  bool is_lost() const;  ///< spilled bytes of it are gone

  /// The blocks that append() of n_tokens will take, one entry per group.
  std::vector<residency::KvNeed> needs(int64_t n_tokens, int64_t step_end = 0,
                                       int64_t n_kept = 0) const;

  /// Makes room for n_tokens after length() and returns, per group, where this step's tokens go;
  /// rows [first_row, first_row + n_tokens) of the packed step are this sequence's. `blocks` has
  /// what needs(n_tokens, step_end, n_kept) says. step_end: the length that the same step will have brought it to at last; less
  /// than the length after this append says that this is its last. n_kept, a multiple of 256: the step prepares prune() to
  /// so many tokens, of which n_tokens are the last kObserved. When it throws, nothing has changed.
  std::vector<ops::SequenceKv> append(int64_t first_row, int64_t n_tokens,
                                      residency::KvReservation& blocks, int64_t step_end = 0,
                                      int64_t n_kept = 0);

  /// The same with blocks from the pool. Throws Error(over_budget) when it has not got them all.
  std::vector<ops::SequenceKv> append(int64_t first_row, int64_t n_tokens);

  /// Whether the last append() prepared prune(), and its step is over or on its way.
  bool will_prune() const { return kept_ != nullptr; }
  /// Goes on with the rows that stay, once that step is over. The states are those of all tokens.
  void prune();
  bool is_pruned() const { return n_left_out_ > 0; }

 private:
  using Table = std::vector<std::vector<std::shared_ptr<residency::KvBlock>>>;  // [group][block]

  bool may_write(size_t group, size_t block) const;
  struct StateAppend;
  ops::SequenceKv append_state(size_t group, const StateAppend& append,
                               std::vector<std::shared_ptr<residency::KvBlock>>& blocks,
                               residency::KvReservation& reserved) const;

  std::shared_ptr<Table> blocks_to_keep(int64_t n_kept, const Table& table,
                                        residency::KvReservation& reserved) const;
  void append_codes(size_t group, int64_t n_tokens,
                    std::vector<std::shared_ptr<residency::KvBlock>>& blocks,
                    residency::KvReservation& reserved) const;

  std::shared_ptr<const KvLayout> layout_;
  residency::KvPool* pool_;
  std::shared_ptr<Table> table_;  // shared by snapshots until one of them appends
  std::shared_ptr<Table> kept_;   // what prune() goes on with
  int64_t n_rows_ = 0;
  int64_t n_left_out_ = 0, n_kept_ = 0;  // of a prompt that was pruned
  uint64_t id_ = 0;
  int64_t step_end_ = 0;  // above n_rows_: the step appends again
};

/// The blocks of a group into which the rows go that stay of a prompt, n_kept tokens'.
int64_t n_kept_blocks(const KvLayout::Group& group, int64_t n_kept);
/// The most blocks of a group that a sequence of n_tokens has at once, where `step` tokens at most
/// are appended before the step that read older blocks is over: all of them, or what a window and a
/// step need.
int64_t most_blocks(const KvLayout::Group& group, int64_t n_tokens, int64_t step);
/// Those beside them of a sequence that can go back to a snapshot: the snapshot keeps the blocks of
/// its window, of which one is partly filled and was copied, and a full block that is trimmed is
/// copied too.
int64_t snapshot_blocks(const KvLayout::Group& group, int64_t n_tokens);

/// Reserves them all. Throws Error(over_budget), which says what the pool may hold and what is in
/// use.
residency::KvReservation reserve_or_throw(residency::KvPool& pool,
                                          std::span<const residency::KvNeed> needs);

}  // namespace sluice::nn
