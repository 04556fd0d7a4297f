#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/residency/kv_spill.h"
#include "sluice/residency/kv_stage.h"

namespace sluice::residency {

class KvPool;

/// Memory for 256 tokens of key and value rows of some layers. Reference-counted, since sequences that
/// share a prefix share its blocks.
///
/// open: `writer` names the one sequence that may write into it -> sealed: full, writer 0, and
/// never written again by anybody, so that who holds a reference may rely on what is in it.
///
/// in memory <-> spilled: its bytes are in the pool's file alone. Only the engine's thread changes that, between steps; a
/// block that came back is still in the file, so that the next time nothing is written.
class KvBlock {
 public:
  static constexpr uint64_t kSealed = 0;
  class Pin;

  /// Takes the memory from the pool, as KvPool::reserve() does.
  KvBlock(KvPool& pool, Bytes size);
  ~KvBlock();
  KvBlock(const KvBlock&) = delete;
  KvBlock& operator=(const KvBlock&) = delete;

  std::byte* data() const { return data_; }  ///< null: it is spilled
  bool in_memory() const { return data_ != nullptr; }
  KvPool& pool() const { return pool_; }
  /// In the file; null: it never was.
  const std::shared_ptr<const KvSpill::Stored>& stored() const { return stored_; }
  /// Whether its bytes are gone for good.
  bool is_lost() const { return data_ == nullptr && stored_->is_lost(); }

  /// Gives its memory back, while no step uses it and nobody will write into it. False where it stays: somebody has it pinned,
  /// the pool has no file, or KvSpill::why_not().
  bool spill(std::span<const KvPart> parts);
  /// Takes memory again. False when the pool has none. Throws SpillError.
  bool restore();
  uint64_t writer() const { return writer_; }
  void open_for(uint64_t writer) { writer_ = writer; }
  void seal() { writer_ = kSealed; }

 private:
  KvPool& pool_;
  Bytes size_;
  std::byte* data_;
  uint64_t writer_ = kSealed;
  std::shared_ptr<const KvSpill::Stored> stored_;
  std::atomic<int> pins_ = 0;  // -1: spilled
};

/// Keeps a block in memory for another thread than the engine's. Move-only.
class KvBlock::Pin {
 public:
  /// Holds nothing where the block is spilled.
  explicit Pin(KvBlock& block);
  explicit operator bool() const { return held_ != nullptr; }

 private:
  struct Release {
    void operator()(KvBlock* block) const noexcept { block->pins_.fetch_sub(1); }
  };
  std::unique_ptr<KvBlock, Release> held_;
};

/// So many blocks of one size.
struct KvNeed {
  Bytes block;
  int64_t count = 0;
};

/// Blocks that were got ahead, all or none. What nobody took goes back to the pool. Move-only.
class KvReservation {
 public:
  KvReservation() = default;
  KvReservation(KvReservation&&) = default;
  KvReservation& operator=(KvReservation&&) = default;

  /// A block for `writer`. Throws Error(internal) when more are taken than were reserved.
  std::shared_ptr<KvBlock> take(Bytes size, uint64_t writer);

 private:
  friend class KvPool;
  std::map<uint64_t, std::vector<std::shared_ptr<KvBlock>>> blocks_;  // by size
};

/// Allocates KV blocks, up to a cap, and keeps returned ones for reuse. Thread-safe: a block's last
/// reference may be dropped by a task on the stream's thread. Must outlive its blocks.
class KvPool {
 public:
  static constexpr Bytes kNoCap{std::numeric_limits<uint64_t>::max()};

  explicit KvPool(Bytes cap = kNoCap) : cap_(cap) {}
  /// Has a file for blocks that memory has no room for; stage: KvStage::half(). Throws as KvSpill and KvStage.
  void spill_to(const KvSpillOptions& options, Bytes stage);
  KvSpill* spill() const { return spill_.get(); }  ///< null: there is none
  /// For what computes with spilled blocks. There is one where a block can be spilled.
  KvStage& stage() const { return *stage_; }
  ~KvPool();
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  /// What blocks may take from now on; those that there are stay.
  void set_cap(Bytes cap);
  Bytes cap() const;

  /// All of these blocks, or nullopt when the cap does not leave room for all: then nothing has
  /// changed, and more fit once others were returned. Throws Error(over_budget) when the system has
  /// no memory.
  std::optional<KvReservation> reserve(std::span<const KvNeed> needs);

  /// Has these blocks in memory, their pages touched, so that as many can be reserved later at no
  /// cost. Throws Error(over_budget).
  void preallocate(std::span<const KvNeed> needs);

  Bytes allocated() const;  ///< in use and kept for reuse
  Bytes in_use() const;

 private:
  friend class KvBlock;
  struct Shelf {
    std::vector<std::byte*> kept;  // has room for all `made`, so that giving back allocates nothing
    size_t made = 0;
  };
  std::byte* take(Bytes size);
  void give_back(std::byte* data, Bytes size) noexcept;
  void free_kept(Bytes wanted);

  std::unique_ptr<KvSpill> spill_;
  std::unique_ptr<KvStage> stage_;

  mutable std::mutex mutex_;  // guards all below
  Bytes cap_;
  std::map<uint64_t, Shelf> shelves_;  // by size
  Bytes allocated_, in_use_;
};

}  // namespace sluice::residency
