// S3-FIFO (Yang et al., SOSP 2023): a small queue that new entries pass, a main queue for those used again
// there or remembered by the ghost queue. Pinned slots are sent round.
#include <algorithm>
#include <deque>
#include <set>
#include <vector>

#include "sluice/residency/experts/policy.h"

namespace sluice::residency {
namespace {

class S3Fifo : public EvictionPolicy {
 public:
  explicit S3Fifo(const PoolShape& shape)
      : entries_(static_cast<size_t>(shape.n_slots)),
        small_size_(static_cast<size_t>(std::max(1, shape.n_slots / 10))),
        ghost_size_(static_cast<size_t>(shape.n_slots)) {}

  void enter_layer(int) override {}

  void on_hit(int slot) override {
    int& uses = entry_of(slot).uses;
    uses = std::min(uses + 1, 3);
  }

  void on_insert(int slot, ExpertKey key) override {
    entry_of(slot) = {key, 0};
    (ghosts_.erase(key) > 0 ? main_ : small_).push_back(slot);
  }

  void on_prefetch(int slot, ExpertKey key) override { on_insert(slot, key); }

  int evict(std::span<const int> pins) override {
    // Each entry is passed at most once with uses counted down from 3, or as pinned, in each queue.
    for (size_t turns = 5 * entries_.size() + 5; turns > 0; --turns) {
      const bool from_small = !small_.empty() && (small_.size() > small_size_ || main_.empty());
      std::deque<int>& queue = from_small ? small_ : main_;
      if (queue.empty()) return -1;
      const int slot = queue.front();
      queue.pop_front();
      Entry& entry = entry_of(slot);
      if (from_small && entry.uses > 1) {
        entry.uses = 0;
        main_.push_back(slot);
      } else if (!from_small && entry.uses > 0) {
        --entry.uses;
        main_.push_back(slot);
      } else if (pins[static_cast<size_t>(slot)] != 0) {
        main_.push_back(slot);
      } else {
        if (from_small) remember(entry.key);
        return slot;
      }
    }
    // All of main is pinned: what waits in small must do.
    const auto free = std::find_if(small_.begin(), small_.end(),
                                   [&](int slot) { return pins[static_cast<size_t>(slot)] == 0; });
    if (free == small_.end()) return -1;
    const int slot = *free;
    small_.erase(free);
    return slot;
  }

  void remove(int slot) override {
    if (std::erase(small_, slot) == 0) std::erase(main_, slot);
  }

 private:
  struct Entry {
    ExpertKey key;
    int uses = 0;
  };
  Entry& entry_of(int slot) { return entries_[static_cast<size_t>(slot)]; }

  void remember(ExpertKey key) {
    if (ghosts_.insert(key).second) ghost_order_.push_back(key);
    while (ghost_order_.size() > ghost_size_) {
      ghosts_.erase(ghost_order_.front());
      ghost_order_.pop_front();
    }
  }

  std::vector<Entry> entries_;
  size_t small_size_;
  size_t ghost_size_;
  std::deque<int> small_;
  std::deque<int> main_;
  std::set<ExpertKey> ghosts_;
  std::deque<ExpertKey> ghost_order_;  // may name keys that are no ghosts any more
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_s3_fifo(const PoolShape& shape) {
  return std::make_unique<S3Fifo>(shape);
}

}  // namespace sluice::residency
