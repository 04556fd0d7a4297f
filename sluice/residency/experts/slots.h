#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/io/reads/aligned_span.h"
#include "sluice/io/reads/async_reader.h"
#include "sluice/residency/experts/policy.h"
#include "sluice/residency/machine/arena.h"
#include "sluice/residency/placed_extents.h"

namespace sluice::residency {

/// Where an expert's parts are in the model's files.
using ExpertExtents = std::vector<io::Extent>;

/// The experts of all layers.
struct ExpertFiles {
  int n_layers = 0;
  int n_experts = 0;                   ///< of a layer, the most any layer has
  std::vector<ExpertExtents> extents;  ///< [layer * n_experts + expert]; empty: no such expert

  size_t index(ExpertKey key) const {
    return static_cast<size_t>(key.layer) * static_cast<size_t>(n_experts) +
           static_cast<size_t>(key.expert);
  }
  const ExpertExtents& of(ExpertKey key) const { return extents[index(key)]; }
};

/// The size of slots for experts of which the largest takes `largest`: whole pages of this
/// machine's, so that each slot can be given back by itself.
Bytes slot_bytes(Bytes largest);
/// That of the largest of these: each run of neighbours in whole pages.
Bytes slot_bytes(const ExpertFiles& files);

/// Counted since the pool was made.
struct SlotStatistics {
  int64_t hits = 0;        ///< demanded, in memory
  int64_t misses = 0;      ///< demanded, not even on their way
  int64_t late = 0;        ///< demanded, on their way as a prefetch
  int64_t prefetched = 0;  ///< reads begun ahead of demand
  int64_t wasted = 0;      ///< of those: evicted before anybody asked
  int64_t evictions = 0;   ///< experts whose slot another one took
  int64_t skipped = 0;     ///< of the misses: done without
};

/// What becomes of an expert's bytes.
enum class Use {
  keep,  ///< they replace what the policy says: the next tokens may need them
  pass,  ///< a prompt, which needs nearly all experts once: they take turns in a few slots, and the rest stays
  pass_again,  ///< the same, but the prompt's next chunk needs them too: they take turns in half of the slots
};

class SlotPool;

/// Keeps one expert's slot from being overwritten. Move-only.
class ExpertLease {
 public:
  ExpertLease() = default;
  ExpertLease(SlotPool& pool, int slot) : pool_(&pool), slot_(slot) {}
  ~ExpertLease() { reset(); }
  ExpertLease(ExpertLease&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), slot_(other.slot_) {}
  ExpertLease& operator=(ExpertLease&& other) noexcept {
    reset();
    pool_ = std::exchange(other.pool_, nullptr);
    slot_ = other.slot_;
    return *this;
  }

  /// Whether wait() would return at once.
  bool ready() const;
  /// Returns when the bytes are there. Throws Error(io) when they could not be read; the next lease of
  /// this expert tries again.
  void wait() const;
  /// Where a byte of the expert is, by its place in the model's files; after wait() has returned.
  const std::byte* address(size_t file, uint64_t offset) const;

 private:
  void reset() noexcept;
  SlotPool* pool_ = nullptr;
  int slot_ = -1;
};

/// Experts in fixed slots of one arena, read when they are asked for. Thread-safe.
///
/// A slot is free -> taken (for an expert that is about to be placed) -> holding -> free, or
/// given_back by resize(). One that holds an expert is loading (reads under way) -> loaded |
/// failed. A lease pins it; a pinned or loading slot is never overwritten. A failed slot is read
/// again by the next lease. Slots are overwritten, never freed, but by resize().
class SlotPool {
 public:
  /// `reader` reads the files that `files` names by index; both must outlive the pool's leases. Throws
  /// Error(over_budget) for no slots or no memory.
  SlotPool(io::AsyncReader& reader, ExpertFiles files, int n_slots, PolicyKind policy);
  SlotPool(io::AsyncReader& reader, ExpertFiles files, int n_slots,
           std::unique_ptr<EvictionPolicy> policy);
  ~SlotPool();
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;

  /// A layer's experts are about to be leased, in whatever number of leases: for the policy that is
  /// one use of each. So are the chunks of a prompt that pass a layer one after the other: those of
  /// Use::pass_again and the next one.
  void begin_demand(int layer, Use use);

  /// Leases of a layer's experts, in order, the reads of all that are missing begun at once. Throws
  /// Error(over_budget), and reads nothing, when other leases leave too few slots: give those back first,
  /// or lease fewer at a time.
  std::vector<ExpertLease> lease(int layer, std::span<const int> experts, Use use = Use::keep);

  /// Begins to read experts that may be needed next, while there are slots that nobody uses. No error: what
  /// cannot be read fails when it is leased.
  void prefetch(int layer, std::span<const int> experts, Use use = Use::keep);

  /// Begins to read the first n missing experts of a layer, if there is such a layer: a prompt needs nearly all.
  void prefetch_pass(int layer, int n);

  /// The same for experts of any layers.
  void prefetch(std::span<const ExpertKey> experts, Use use = Use::keep);

  /// Whether an expert is not in memory and shall be done without, which is counted.
  bool skip(int layer, int expert);

  /// Takes back prefetches of a layer that turn out not to be among `needed` and were not begun yet.
  void cancel_prefetches(int layer, std::span<const int> needed);

  /// Whether it is in memory or on its way there.
  bool holds(int layer, int expert) const;

  /// Grows or shrinks to n_slots, up to what the pool was made with, giving the memory back. Slots in use
  /// stay: returns the slots there are then.
  int resize(int n_slots);

  int n_slots() const;
  /// Of all slots, those given back by resize() included.
  std::span<const std::byte> memory() const { return {arena_.data(), arena_.size().count}; }
  Bytes bytes_per_slot() const { return bytes_per_slot_; }
  SlotStatistics statistics() const;

 private:
  friend class ExpertLease;
  enum class State { free, taken, holding, given_back };
  struct Slot {
    State state = State::free;
    ExpertKey key;            // of the expert it holds, one that is being read included
    bool prefetched = false;  // and nobody has asked for it yet
    std::vector<io::Ticket> reads;
    PlacedExtents placed{{}};

    bool loading() const;
    bool failed() const;
  };

  Slot& at(int slot) { return slots_[static_cast<size_t>(slot)]; }
  int& slot_of(int layer, int expert);
  void unpin_read_slots();
  bool drop_waiting_prefetch();
  int evict_passing();
  int take_slot(Use use);
  int take_slot_for_demand(Use use);
  std::byte* address_of(int slot) const;
  void place(int slot, ExpertKey key, bool asked_for);
  void read(std::span<const int> slots, io::Priority priority);
  void forget(int slot);
  void set_free(int slot);
  void unpin(int slot) noexcept;
  std::vector<io::Ticket> reads_of(int slot) const;

  io::AsyncReader& reader_;
  ExpertFiles files_;
  Bytes bytes_per_slot_;
  Arena arena_;
  std::unique_ptr<EvictionPolicy> policy_;

  mutable std::mutex mutex_;  // guards all below; the functions above expect it locked
  std::vector<Slot> slots_;
  std::vector<int> pins_;     // per slot: its leases, and one while it is in loading_
  std::vector<int> loading_;  // slots whose reads may be under way
  std::deque<int> passing_;   // taken by passing reads, the oldest first
  std::vector<int> free_;     // those in State::free
  std::vector<int> slot_of_;  // [layer * n_experts + expert], -1: none
  int n_usable_ = 0;          // not given back
  int again_layer_ = -1;      // whose demand goes on with the next chunk
  SlotStatistics statistics_;
};

}  // namespace sluice::residency
