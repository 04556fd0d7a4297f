#include "sluice/residency/kv_pool.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "sluice/base/error.h"

namespace sluice::residency {
namespace {

/// Pages: blocks are read from disk past the page cache.
constexpr size_t kAlignment = 4096;

size_t rounded(Bytes size) {
  return (static_cast<size_t>(size.count) + kAlignment - 1) / kAlignment * kAlignment;
}

/// The cap leaves no room: not an error of its own, reserve() answers it.
struct Full {};

}  // namespace

KvBlock::KvBlock(KvPool& pool, Bytes size) : pool_(pool), size_(size), data_(pool.take(size)) {}
KvBlock::~KvBlock() {
  if (data_ != nullptr) pool_.give_back(data_, size_);
}

bool KvBlock::spill(std::span<const KvPart> parts) {
  KvSpill* const file = pool_.spill();
  if (file == nullptr || data_ == nullptr) return false;
  int none = 0;
  if (!pins_.compare_exchange_strong(none, -1)) return false;
  if (!stored_ || stored_->is_lost()) stored_ = file->write({data_, rounded(size_)}, parts);
  if (!stored_) {
    pins_ = 0;
    return false;
  }
  pool_.give_back(std::exchange(data_, nullptr), size_);
  return true;
}

bool KvBlock::restore() {
  if (data_ != nullptr) return true;
  std::byte* data = nullptr;
  try {
    data = pool_.take(size_);
    pool_.spill()->read(*stored_, {data, rounded(size_)});
  } catch (const Full&) {
    return false;
  } catch (const SpillError&) {
    pool_.give_back(data, size_);
    throw;
  } catch (const Error&) {  // the system has no memory: it stays where it is
    return false;
  }
  data_ = data;
  pins_ = 0;
  return true;
}

KvBlock::Pin::Pin(KvBlock& block) {
  for (int pins = block.pins_; pins >= 0;) {
    if (!block.pins_.compare_exchange_weak(pins, pins + 1)) continue;
    held_.reset(&block);
    return;
  }
}

void KvPool::spill_to(const KvSpillOptions& options, Bytes stage) {
  spill_ = std::make_unique<KvSpill>(options);
  stage_ = std::make_unique<KvStage>(*spill_, stage);
}

std::shared_ptr<KvBlock> KvReservation::take(Bytes size, uint64_t writer) {
  const auto found = blocks_.find(size.count);
  if (found == blocks_.end() || found->second.empty()) {
    fail(ErrorKind::internal, "a KV block of {} is taken that was not reserved", to_string(size));
  }
  std::shared_ptr<KvBlock> block = std::move(found->second.back());
  found->second.pop_back();
  block->open_for(writer);
  return block;
}

KvPool::~KvPool() {
  for (auto& [size, shelf] : shelves_) {
    for (std::byte* block : shelf.kept) std::free(block);
  }
}

void KvPool::set_cap(Bytes cap) {
  const std::lock_guard lock(mutex_);
  cap_ = cap;
}

Bytes KvPool::cap() const {
  const std::lock_guard lock(mutex_);
  return cap_;
}

/// Frees blocks of any size that nobody uses until `wanted` more fit below the cap, if they can.
void KvPool::free_kept(Bytes wanted) {
  for (auto& [size, shelf] : shelves_) {
    while (!shelf.kept.empty() && difference(cap_, allocated_) < wanted) {
      std::free(shelf.kept.back());
      shelf.kept.pop_back();
      --shelf.made;
      allocated_ = difference(allocated_, Bytes{size});
    }
  }
}

std::byte* KvPool::take(Bytes size) {
  const std::lock_guard lock(mutex_);
  Shelf& shelf = shelves_[size.count];
  if (shelf.kept.empty()) {
    if (difference(cap_, allocated_) < size) free_kept(size);
    if (difference(cap_, allocated_) < size) throw Full{};
    shelf.kept.reserve(shelf.made + 1);
    auto* const data = static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded(size)));
    if (data == nullptr) {
      fail(ErrorKind::over_budget, "no memory for a KV block of {} ({} of KV in use)",
           to_string(size), to_string(in_use_));
    }
    shelf.kept.push_back(data);
    ++shelf.made;
    allocated_ = allocated_ + size;
  }
  std::byte* const data = shelf.kept.back();
  shelf.kept.pop_back();
  in_use_ = in_use_ + size;
  return data;
}

std::optional<KvReservation> KvPool::reserve(std::span<const KvNeed> needs) {
  KvReservation reservation;
  try {
    for (const KvNeed& need : needs) {
      auto& blocks = reservation.blocks_[need.block.count];
      for (int64_t i = 0; i < need.count; ++i) {
        blocks.push_back(std::make_shared<KvBlock>(*this, need.block));
      }
    }
  } catch (const Full&) {
    return std::nullopt;
  }
  return reservation;
}

void KvPool::preallocate(std::span<const KvNeed> needs) {
  const std::optional<KvReservation> reservation = reserve(needs);
  if (!reservation) {
    fail(ErrorKind::over_budget, "{} of keys and values at most: the blocks to reserve are more",
         to_string(cap()));
  }
  for (const auto& [size, blocks] : reservation->blocks_) {
    for (const auto& block : blocks) std::memset(block->data(), 0, size);
  }
}

void KvPool::give_back(std::byte* data, Bytes size) noexcept {
  const std::lock_guard lock(mutex_);
  shelves_.find(size.count)->second.kept.push_back(data);
  in_use_ = difference(in_use_, size);
}

Bytes KvPool::allocated() const {
  const std::lock_guard lock(mutex_);
  return allocated_;
}

Bytes KvPool::in_use() const {
  const std::lock_guard lock(mutex_);
  return in_use_;
}

}  // namespace sluice::residency
