#include "sluice/residency/experts/slots.h"

#include <algorithm>
#include <optional>

#include "sluice/base/checked.h"
#include "sluice/base/error.h"
#include "sluice/io/page_size.h"

namespace sluice::residency {
namespace {

/// Passing reads take turns in so many slots: enough to compute with some while others are read.
constexpr size_t kPassingSlots = 32;

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

Bytes slot_bytes(Bytes largest) {
  const uint64_t page = io::page_size();
  return {(largest.count + page - 1) / page * page};
}

Bytes slot_bytes(const ExpertFiles& files) {
  Bytes most;
  for (const ExpertExtents& extents : files.extents) {
    most = std::max(most, PlacedExtents(extents).bytes());
  }
  return slot_bytes(most);
}

// --- leases

bool ExpertLease::ready() const {
  const auto reads = pool_->reads_of(slot_);
  return std::all_of(reads.begin(), reads.end(),
                     [](const io::Ticket& ticket) { return ticket->over(); });
}

void ExpertLease::wait() const { pool_->reader_.wait(pool_->reads_of(slot_)); }

const std::byte* ExpertLease::address(size_t file, uint64_t offset) const {
  return pool_->address_of(slot_) +
         pool_->slots_[static_cast<size_t>(slot_)].placed.position(file, offset);
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
    : SlotPool(reader, files, n_slots,
               make_policy(policy, {files.n_layers, files.n_experts, std::max(n_slots, 0)})) {}

SlotPool::SlotPool(io::AsyncReader& reader, ExpertFiles files, int n_slots,
                   std::unique_ptr<EvictionPolicy> policy)
    : reader_(reader),
      files_(std::move(files)),
      bytes_per_slot_(slot_bytes(files_)),
      arena_(arena_bytes(bytes_per_slot_, n_slots)),
      policy_(std::move(policy)),
      slots_(static_cast<size_t>(n_slots)),
      pins_(static_cast<size_t>(n_slots), 0),
      slot_of_(files_.extents.size(), -1),
      n_usable_(n_slots) {
  for (int slot = n_slots; slot-- > 0;) free_.push_back(slot);
}

SlotPool::~SlotPool() {
  // The reader may still be writing into the arena.
  for (const Slot& slot : slots_) reader_.abandon(slot.reads);
}

int& SlotPool::slot_of(int layer, int expert) { return slot_of_[files_.index({layer, expert})]; }

std::byte* SlotPool::address_of(int slot) const {
  return arena_.data() + static_cast<uint64_t>(slot) * bytes_per_slot_.count;
}

bool SlotPool::holds(int layer, int expert) const {
  const std::lock_guard lock(mutex_);
  const int slot = slot_of_[files_.index({layer, expert})];
  return slot >= 0 && !slots_[static_cast<size_t>(slot)].failed();
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
  if (old.state != State::holding) return;
  if (old.prefetched) ++statistics_.wasted;
  slot_of(old.key.layer, old.key.expert) = -1;
  old = Slot{};
  std::erase(passing_, slot);
}

/// What it held was forgotten.
void SlotPool::set_free(int slot) {
  at(slot).state = State::free;
  std::erase(passing_, slot);
  free_.push_back(slot);
}

/// The oldest of the slots that passing reads take turns in, of those that hold an expert nobody
/// uses; -1: none.
int SlotPool::evict_passing() {
  const auto found = std::ranges::find_if(passing_, [&](int slot) {
    return at(slot).state == State::holding && pins_[static_cast<size_t>(slot)] == 0;
  });
  if (found == passing_.end()) return -1;
  const int slot = *found;
  passing_.erase(found);
  policy_->remove(slot);
  return slot;
}

/// A slot that holds nothing any more; -1 when all are pinned.
int SlotPool::take_slot(Use use) {
  const size_t half = static_cast<size_t>(n_usable_) / 2;
  int slot = -1;
  if (!free_.empty()) {
    slot = free_.back();
    free_.pop_back();
    arena_.take_ahead(static_cast<size_t>(slot + 1) * bytes_per_slot_.count);
  } else {
    const bool grows = use == Use::pass_again && passing_.size() < half;
    if (use != Use::keep && !grows) slot = evict_passing();
    if (slot < 0) slot = policy_->evict(pins_);
    if (slot < 0) return -1;
    ++statistics_.evictions;
    forget(slot);
  }
  at(slot).state = State::taken;
  if (use != Use::keep) {
    passing_.push_back(slot);
    if (passing_.size() > std::max(kPassingSlots, half)) passing_.pop_front();
  }
  return slot;
}

/// Makes a prefetch that nobody asked for give up its slot; false when there is none.
bool SlotPool::drop_waiting_prefetch() {
  for (const int slot : loading_) {
    if (pins_[static_cast<size_t>(slot)] > 1) continue;  // leased
    reader_.abandon(at(slot).reads);
    unpin_read_slots();
    return true;
  }
  return false;
}

int SlotPool::take_slot_for_demand(Use use) {
  int slot = take_slot(use);
  while (slot < 0 && drop_waiting_prefetch()) slot = take_slot(use);
  return slot;
}

void SlotPool::place(int slot, ExpertKey key, bool asked_for) {
  at(slot).key = key;
  at(slot).state = State::holding;
  slot_of(key.layer, key.expert) = slot;
  asked_for ? policy_->on_insert(slot, key) : policy_->on_prefetch(slot, key);
}

/// Begins to read the experts that these slots were given. Pins them until they are read.
void SlotPool::read(std::span<const int> slots, io::Priority priority) {
  std::vector<io::ReadRequest> requests;
  std::vector<int> owners;
  for (const int slot : slots) {
    Slot& held = at(slot);
    held.placed = PlacedExtents(files_.of(held.key));
    held.reads.clear();
    for (const PlacedExtents::Run& run : held.placed.runs()) {
      requests.push_back({run.wanted.file, run.wanted.offset, run.wanted.bytes,
                          address_of(slot) + run.at + run.span.skip, priority});
      owners.push_back(slot);
    }
    held.prefetched = priority == io::Priority::prefetch;
    loading_.push_back(slot);
    ++pins_[static_cast<size_t>(slot)];
  }
  const std::vector<io::Ticket> tickets = reader_.submit(requests);
  for (size_t i = 0; i < tickets.size(); ++i) at(owners[i]).reads.push_back(tickets[i]);
}

void SlotPool::begin_demand(int layer, Use use) {
  const std::lock_guard lock(mutex_);
  if (layer != again_layer_) policy_->enter_layer(layer);
  again_layer_ = use == Use::pass_again ? layer : -1;
  if (use == Use::keep) passing_.clear();
}

std::vector<ExpertLease> SlotPool::lease(int layer, std::span<const int> experts, Use use) {
  std::vector<ExpertLease> leases;  // declared first: its end unpins, and that locks
  std::vector<int> slots(experts.size(), -1);
  const std::lock_guard lock(mutex_);
  unpin_read_slots();

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
    const int slot = take_slot_for_demand(use);
    if (slot < 0) {
      for (const int spare : taken) set_free(spare);
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
      place(taken.back(), {layer, experts[place_in]}, true);
      again.push_back(taken.back());
      taken.pop_back();
      ++statistics_.misses;
    }
    pin(place_in, slot);
  }
  for (const int spare : taken) set_free(spare);
  if (!again.empty()) read(again, io::Priority::demand);
  for (const int slot : slots) leases.emplace_back(*this, slot);
  return leases;
}

void SlotPool::prefetch(int layer, std::span<const int> experts, Use use) {
  std::vector<ExpertKey> keys;
  for (const int expert : experts) keys.push_back({layer, expert});
  prefetch(keys, use);
}

void SlotPool::prefetch(std::span<const ExpertKey> experts, Use use) {
  const std::lock_guard lock(mutex_);
  unpin_read_slots();
  std::vector<int> begun;
  for (const ExpertKey key : experts) {
    if (slot_of(key.layer, key.expert) >= 0) continue;
    const int slot = take_slot(use);
    if (slot < 0) break;
    place(slot, key, false);
    ++pins_[static_cast<size_t>(slot)];  // so that the next one does not take it
    begun.push_back(slot);
    ++statistics_.prefetched;
  }
  if (begun.empty()) return;
  read(begun, io::Priority::prefetch);
  for (const int slot : begun) --pins_[static_cast<size_t>(slot)];
}

bool SlotPool::skip(int layer, int expert) {
  const std::lock_guard lock(mutex_);
  const int slot = slot_of(layer, expert);
  if (slot >= 0 && !at(slot).loading() && !at(slot).failed()) return false;
  ++statistics_.skipped;
  ++statistics_.misses;
  return true;
}

void SlotPool::cancel_prefetches(int layer, std::span<const int> needed) {
  const std::lock_guard lock(mutex_);
  unpin_read_slots();
  const std::vector<int> loading = loading_;
  for (const int slot : loading) {
    const Slot& held = at(slot);
    const bool queued = held.reads.front()->state() == io::ReadState::queued;
    if (!held.prefetched || held.key.layer != layer || !queued) continue;
    if (pins_[static_cast<size_t>(slot)] > 1 ||
        std::ranges::find(needed, held.key.expert) != needed.end())
      continue;
    reader_.abandon(held.reads);
    unpin_read_slots();
    policy_->remove(slot);
    at(slot).prefetched = false;  // it cost nothing
    forget(slot);
    set_free(slot);
  }
}

void SlotPool::prefetch_pass(int layer, int n) {
  if (layer >= files_.n_layers) return;
  std::vector<int> missing;
  for (int expert = 0; expert < files_.n_experts && static_cast<int>(missing.size()) < n;
       ++expert) {
    if (!files_.of({layer, expert}).empty() && !holds(layer, expert)) missing.push_back(expert);
  }
  prefetch(layer, missing, Use::pass);
}

int SlotPool::resize(int n_slots) {
  const std::lock_guard lock(mutex_);
  unpin_read_slots();
  while (n_usable_ > n_slots) {
    const int slot = take_slot(Use::keep);
    if (slot < 0) break;
    at(slot).state = State::given_back;
    arena_.release(static_cast<uint64_t>(slot) * bytes_per_slot_.count, bytes_per_slot_.count);
    --n_usable_;
  }
  for (int slot = 0; slot < std::ssize(slots_) && n_usable_ < n_slots; ++slot) {
    if (at(slot).state != State::given_back) continue;
    set_free(slot);
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
