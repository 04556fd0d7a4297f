#include "sluice/residency/experts/expert_stream.h"

#include <algorithm>
#include <utility>

#include "sluice/base/error.h"

namespace sluice::residency {
namespace {

/// Missing experts of a prompt that are read at once: enough to keep a disk busy, few enough for a small pool.
constexpr size_t kReadsAhead = 6;
/// Experts of the next layer that are read meanwhile, and while its attention computes.
constexpr int kNextLayersAhead = 12;

}  // namespace

ExpertStream::ExpertStream(std::span<const int> experts, Acquire acquire)
    : left_(experts.begin(), experts.end()), acquire_(std::move(acquire)) {}

ExpertStream::ExpertStream(SlotPool& pool, int layer, std::span<const int> experts, Use use)
    : left_(experts.begin(), experts.end()), pool_(&pool), layer_(layer), use_(use) {
  pool.begin_demand(layer, use);
  std::stable_partition(left_.begin(), left_.end(),
                        [&](int expert) { return pool.holds(layer, expert); });
  lease_more();
}

/// A token's experts all at once, a prompt's few at a time; never more than half of the slots, as the other half may
/// still be in use.
void ExpertStream::lease_more() {
  std::vector<int> batch;
  size_t missing = 0;
  for (const Waiting& w : waiting_) missing += w.lease.ready() ? 0 : 1;
  const auto most = static_cast<size_t>(std::max(1, pool_->n_slots() / 2));
  while (batch.size() < left_.size() && waiting_.size() + batch.size() < most) {
    const int expert = left_[batch.size()];
    if (use_ != Use::keep && !pool_->holds(layer_, expert) && ++missing > kReadsAhead) break;
    batch.push_back(expert);
  }
  if (batch.empty()) return;
  std::vector<ExpertLease> leases = pool_->lease(layer_, batch, use_);
  for (size_t i = 0; i < batch.size(); ++i) waiting_.push_back({batch[i], std::move(leases[i])});
  left_.erase(left_.begin(), left_.begin() + static_cast<std::ptrdiff_t>(batch.size()));
  if (use_ == Use::pass && left_.empty()) pool_->prefetch_pass(layer_ + 1, kNextLayersAhead);
}

/// Reads once more what failed: it may have been in another request's time that the disk did.
void ExpertStream::await(Waiting& waiting) {
  try {
    waiting.lease.wait();
  } catch (const Error&) {
    waiting.lease = std::move(pool_->lease(layer_, std::span(&waiting.expert, 1), use_).front());
    waiting.lease.wait();
  }
}

std::span<const int> ExpertStream::next() {
  given_.clear();
  if (pool_ == nullptr) {
    given_.swap(left_);
    return given_;
  }
  ready_.clear();
  if (!left_.empty()) lease_more();
  if (waiting_.empty()) return {};
  const auto is_waiting = [](const Waiting& w) { return !w.lease.ready(); };
  if (std::all_of(waiting_.begin(), waiting_.end(), is_waiting)) await(waiting_.front());
  const auto ready = std::stable_partition(waiting_.begin(), waiting_.end(), is_waiting);
  for (auto it = ready; it != waiting_.end(); ++it) {
    await(*it);
    given_.push_back(it->expert);
    ready_.push_back(std::move(*it));
  }
  waiting_.erase(ready, waiting_.end());
  return given_;
}

bool ExpertStream::would_wait() const {
  return !waiting_.empty() &&
         std::ranges::none_of(waiting_, [](const Waiting& w) { return w.lease.ready(); });
}

kernels::Matrix ExpertStream::acquire(int expert, const Weight& weight) const {
  if (pool_ == nullptr) return acquire_(weight);
  const auto held = std::find_if(ready_.begin(), ready_.end(),
                                 [&](const Waiting& w) { return w.expert == expert; });
  if (held == ready_.end()) fail(ErrorKind::internal, "expert {} is not in memory", expert);
  return weight.at(
      [&](const FilePlace& place) { return held->lease.address(place.file, place.offset); });
}

}  // namespace sluice::residency
