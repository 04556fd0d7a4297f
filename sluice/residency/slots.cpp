#include "sluice/residency/slots.h"

#include <algorithm>
#include <optional>

#include "sluice/base/checked.h"
#include "sluice/base/error.h"

namespace sluice::residency {
namespace {

constexpr uint64_t kGap = 64 << 10;  // a hole this small costs less than a second read

/// An expert's reads: runs of neighbours, each with its whole pages after the other's.
struct Placed {
  struct Run {
    io::ExtentRun run;
    io::AlignedSpan span;
    uint64_t at = 0;  // of the span, in the slot
  };
  std::vector<Run> runs;
  uint64_t bytes = 0;
};

Placed place_extents(const ExpertExtents& extents) {
  Placed placed;
  for (io::ExtentRun& run : io::join_neighbours(extents, kGap)) {
    const io::AlignedSpan span = io::aligned_span(run.extent.offset, run.extent.bytes);
    placed.runs.push_back({std::move(run), span, placed.bytes});
    placed.bytes += span.bytes;
  }
  return placed;
}

/// The memory of n_slots slots.
Bytes arena_bytes(Bytes per_slot, int n_slots) {
  const auto bytes =
      n_slots < 1 ? std::nullopt : checked_multiply(per_slot.count, static_cast<uint64_t>(n_slots));
  if (!bytes) {
    fail(ErrorKind::over_budget, "{} expert slots of {}: wanted at least 1; give more --ram",
         n_slots, to_string(per_slot));
  }
  return {*bytes};
}

}  // namespace

Bytes slot_bytes(const ExpertFiles& files) {
  uint64_t most = 0;
  for (const ExpertExtents& extents : files.extents) {
    most = std::max(most, place_extents(extents).bytes);
  }
  return {most};
}

// --- leases

bool ExpertLease::ready() const {
  const auto reads = pool_->reads_of(slot_);
  return std::all_of(reads.begin(), reads.end(),
                     [](const io::Ticket& ticket) { return ticket->over(); });
}

void ExpertLease::wait() const { pool_->reader_.wait(pool_->reads_of(slot_)); }

const std::byte* ExpertLease::part(size_t i) const {
  const std::lock_guard lock(pool_->mutex_);
  return pool_->at(slot_).parts[i];
}

void ExpertLease::reset() noexcept {
  if (pool_ != nullptr) pool_->unpin(slot_);
  pool_ = nullptr;
}

// --- the pool

bool SlotPool::Slot::loading() const {
  return std::any_of(reads.begin(), reads.end(),
                     [](const auto& ticket) { return !ticket->over(); });
}

bool SlotPool::Slot::failed() const {
  return std::any_of(reads.begin(), reads.end(), [](const auto& ticket) {
    return ticket->state() == io::ReadState::failed || ticket->state() == io::ReadState::cancelled;
  });
}

SlotPool::SlotPool(io::AsyncReader& reader, ExpertFiles files, int n_slots, PolicyKind policy)
    : reader_(reader),
      files_(std::move(files)),
      bytes_per_slot_(slot_bytes(files_)),
      arena_(arena_bytes(bytes_per_slot_, n_slots)),
      policy_(make_policy(policy, {files_.n_layers, files_.n_experts, n_slots})),
      slots_(static_cast<size_t>(n_slots)),
      pins_(static_cast<size_t>(n_slots), 0),
      slot_of_(files_.extents.size(), -1),
      n_usable_(n_slots) {
  for (int slot = n_slots; slot-- > 0;) free_.push_back(slot);
}

SlotPool::~SlotPool() {
  // The reader may still be writing into the arena.
  for (const Slot& slot : slots_) {
    for (const io::Ticket& ticket : slot.reads) {
      if (ticket->over() || reader_.cancel(ticket)) continue;
      try {
        reader_.wait(ticket);
      } catch (const Error&) {  // nobody needs it any more
      }
    }
  }
}

int& SlotPool::slot_of(int layer, int expert) {
  return slot_of_[static_cast<size_t>(layer) * static_cast<size_t>(files_.n_experts) +
                  static_cast<size_t>(expert)];
}

std::vector<io::Ticket> SlotPool::reads_of(int slot) const {
  const std::lock_guard lock(mutex_);
  return slots_[static_cast<size_t>(slot)].reads;
}

void SlotPool::unpin(int slot) noexcept {
  const std::lock_guard lock(mutex_);
  --pins_[static_cast<size_t>(slot)];
}

/// Takes the pin from slots whose reads are over.
void SlotPool::unpin_read_slots() {
  std::erase_if(loading_, [&](int slot) {
    if (at(slot).loading()) return false;
    --pins_[static_cast<size_t>(slot)];
    return true;
  });
}

void SlotPool::forget(int slot) {
  Slot& old = at(slot);
  if (!old.holds) return;
  if (old.prefetched) ++statistics_.wasted;
  slot_of(old.key.layer, old.key.expert) = -1;
  old = Slot{};
}

/// A slot that holds nothing any more; -1 when all are pinned.
int SlotPool::take_slot() {
  if (!free_.empty()) {
    const int slot = free_.back();
    free_.pop_back();
    return slot;
  }
  const int slot = policy_->evict(pins_);
  if (slot >= 0) forget(slot);
  return slot;
}

/// Makes a prefetch that nobody asked for give up its slot; false when there is none.
bool SlotPool::drop_waiting_prefetch() {
  for (const int slot : loading_) {
    const Slot& held = at(slot);
    if (pins_[static_cast<size_t>(slot)] > 1) continue;  // leased
    for (const io::Ticket& ticket : held.reads) {
      if (ticket->over() || reader_.cancel(ticket)) continue;
      try {
        reader_.wait(ticket);
      } catch (const Error&) {  // nobody needs it any more
      }
    }
    unpin_read_slots();
    return true;
  }
  return false;
}

int SlotPool::take_slot_for_demand() {
  int slot = take_slot();
  while (slot < 0 && drop_waiting_prefetch()) slot = take_slot();
  return slot;
}

void SlotPool::place(int slot, ExpertKey key) {
  at(slot).key = key;
  at(slot).holds = true;
  slot_of(key.layer, key.expert) = slot;
  policy_->on_insert(slot, key);
}

/// Begins to read the experts that these slots were given. Pins them until they are read.
void SlotPool::read(std::span<const int> slots, io::Priority priority) {
  std::vector<io::ReadRequest> requests;
  std::vector<int> owners;
  for (const int slot : slots) {
    Slot& held = at(slot);
    const ExpertExtents& extents = files_.of(held.key);
    std::byte* const base = arena_.data() + static_cast<uint64_t>(slot) * bytes_per_slot_.count;
    held.parts.assign(extents.size(), nullptr);
    held.reads.clear();
    for (const Placed::Run& placed : place_extents(extents).runs) {
      const io::Extent& extent = placed.run.extent;
      std::byte* const start = base + placed.at;
      requests.push_back(
          {extent.file, extent.offset, extent.bytes, start + placed.span.skip, priority});
      owners.push_back(slot);
      for (const size_t part : placed.run.members) {
        held.parts[part] = start + (extents[part].offset - placed.span.offset);
      }
    }
    held.prefetched = priority == io::Priority::prefetch;
    loading_.push_back(slot);
    ++pins_[static_cast<size_t>(slot)];
  }
  const std::vector<io::Ticket> tickets = reader_.submit(requests);
  for (size_t i = 0; i < tickets.size(); ++i) at(owners[i]).reads.push_back(tickets[i]);
}

std::vector<ExpertLease> SlotPool::lease(int layer, std::span<const int> experts) {
  std::vector<ExpertLease> leases;  // declared first: its end unpins, and that locks
  std::vector<int> slots(experts.size(), -1);
  const std::lock_guard lock(mutex_);
  unpin_read_slots();
  policy_->enter_layer(layer);

  std::vector<int> missing;  // places in `experts`
  std::vector<int> again;    // slots whose last read failed
  const auto pin = [&](size_t i, int slot) {
    slots[i] = slot;
    ++pins_[static_cast<size_t>(slot)];
  };
  for (size_t i = 0; i < experts.size(); ++i) {
    const int slot = slot_of(layer, experts[i]);
    if (slot < 0) {
      missing.push_back(static_cast<int>(i));
      continue;
    }
    Slot& held = at(slot);
    pin(i, slot);
    policy_->on_hit(slot);
    if (held.failed() && !held.loading()) {
      ++statistics_.misses;
      if (std::find(again.begin(), again.end(), slot) == again.end()) again.push_back(slot);
    } else if (held.prefetched && held.loading()) {
      ++statistics_.late;
      for (const io::Ticket& ticket : held.reads) reader_.promote(ticket);
    } else {
      ++statistics_.hits;
    }
    held.prefetched = false;
  }

  std::vector<int> taken;
  for (size_t i = 0; i < missing.size(); ++i) {
    const int slot = take_slot_for_demand();
    if (slot < 0) {
      for (const int free : taken) free_.push_back(free);
      for (const int pinned : slots) {
        if (pinned >= 0) --pins_[static_cast<size_t>(pinned)];
      }
      fail(ErrorKind::over_budget,
           "layer {}: {} experts are needed at once, {} of {} slots are in use; give more --ram",
           layer, experts.size(), n_usable_ - static_cast<int>(taken.size()), n_usable_);
    }
    taken.push_back(slot);
  }
  for (const int i : missing) {
    const auto place_in = static_cast<size_t>(i);
    int& slot = slot_of(layer, experts[place_in]);
    if (slot < 0) {  // not given a slot a moment ago: experts may name one twice
      place(taken.back(), {layer, experts[place_in]});
      again.push_back(taken.back());
      taken.pop_back();
      ++statistics_.misses;
    }
    pin(place_in, slot);
  }
  for (const int free : taken) free_.push_back(free);
  if (!again.empty()) read(again, io::Priority::demand);
  for (const int slot : slots) leases.emplace_back(*this, slot);
  return leases;
}

void SlotPool::prefetch(int layer, std::span<const int> experts) {
  const std::lock_guard lock(mutex_);
  unpin_read_slots();
  std::vector<int> begun;
  for (const int expert : experts) {
    if (slot_of(layer, expert) >= 0) continue;
    const int slot = take_slot();
    if (slot < 0) break;
    place(slot, {layer, expert});
    ++pins_[static_cast<size_t>(slot)];  // so that the next one does not take it
    begun.push_back(slot);
    ++statistics_.prefetched;
  }
  if (begun.empty()) return;
  read(begun, io::Priority::prefetch);
  for (const int slot : begun) --pins_[static_cast<size_t>(slot)];
}

int SlotPool::resize(int n_slots) {
  const std::lock_guard lock(mutex_);
  unpin_read_slots();
  while (n_usable_ > n_slots) {
    const int slot = take_slot();
    if (slot < 0) break;
    at(slot).usable = false;
    arena_.release(static_cast<uint64_t>(slot) * bytes_per_slot_.count, bytes_per_slot_.count);
    --n_usable_;
  }
  for (size_t slot = 0; slot < slots_.size() && n_usable_ < n_slots; ++slot) {
    if (slots_[slot].usable) continue;
    slots_[slot].usable = true;
    free_.push_back(static_cast<int>(slot));
    ++n_usable_;
  }
  return n_usable_;
}

int SlotPool::n_slots() const {
  const std::lock_guard lock(mutex_);
  return n_usable_;
}

SlotStatistics SlotPool::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

}  // namespace sluice::residency
