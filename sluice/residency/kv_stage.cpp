#include "sluice/residency/kv_stage.h"

#include "sluice/io/reads/aligned_span.h"

namespace sluice::residency {
namespace {

/// Enough reads at once to keep a drive busy while some are checked.
constexpr int kReaders = 4;

Bytes room_of(const std::vector<KvStage::Wanted>& wanted) {
  Bytes sum;
  for (const auto& [stored, part] : wanted) sum = sum + stored->room(part);
  return sum;
}

}  // namespace

KvStage::KvStage(KvSpill& spill, Bytes half) : spill_(spill), half_(half) {
  for (Half& of : halves_) {
    of.memory.reset(static_cast<std::byte*>(
        std::aligned_alloc(io::kDirectAlignment, io::aligned_span(0, half.count).bytes)));
    if (!of.memory)
      fail(ErrorKind::over_budget, "no memory for two times {} of spilled keys and values",
           to_string(half));
  }
  try {
    for (int i = 0; i < kReaders; ++i)
      readers_.start("reads spilled keys and values", [this] { loop(); });
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    work_.notify_all();
    throw;
  }
}

KvStage::~KvStage() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    queue_.clear();
  }
  work_.notify_all();
  readers_.join();
}

void KvStage::loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [this] { return closed_ || !queue_.empty(); });
    if (closed_) return;
    const auto [half, i] = queue_.front();
    queue_.pop_front();
    const Wanted wanted = half->wanted[i];
    std::byte* const to = half->to[i];
    lock.unlock();
    const std::byte* at = nullptr;
    std::exception_ptr error;
    try {
      at = spill_.read(*wanted.stored, wanted.part, to);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    half->at[i] = at;
    if (error && !half->error) half->error = error;
    if (--half->left == 0) done_.notify_all();
  }
}

void KvStage::fill(Half& half, const std::vector<Wanted>& wanted) {
  if (half_ < room_of(wanted)) {
    fail(ErrorKind::internal, "{} of spilled parts do not fit {}", to_string(room_of(wanted)),
         to_string(half_));
  }
  std::vector<std::byte*> to;
  std::byte* end = half.memory.get();
  for (const Wanted& one : wanted) {
    to.push_back(end);
    end += one.stored->room(one.part).count;
  }
  half.wanted = wanted;
  half.to = std::move(to);
  half.at.assign(wanted.size(), nullptr);
  half.error = nullptr;
  half.left = wanted.size();
  for (size_t i = 0; i < wanted.size(); ++i) queue_.emplace_back(&half, i);
  work_.notify_all();
}

/// What was not begun is not read, the rest is waited for.
void KvStage::empty(Half& half, std::unique_lock<std::mutex>& lock) {
  half.left -= std::erase_if(queue_, [&](const auto& job) { return job.first == &half; });
  done_.wait(lock, [&] { return half.left == 0; });
  half.wanted.clear();
  half.error = nullptr;
}

void KvStage::bring(const std::vector<Wanted>& wanted) {
  std::unique_lock lock(mutex_);
  Half& next = halves_[1 - used_];
  if (next.wanted != wanted || next.error) {
    empty(next, lock);
    fill(next, wanted);
  }
  done_.wait(lock, [&] { return next.left == 0; });
  if (next.error) std::rethrow_exception(next.error);
  used_ = 1 - used_;
}

void KvStage::expect(const std::vector<Wanted>& wanted) {
  std::unique_lock lock(mutex_);
  Half& next = halves_[1 - used_];
  // Layers of a group need not be of one size: then it is another range that will be asked for.
  if (next.wanted == wanted || half_ < room_of(wanted)) return;
  empty(next, lock);
  fill(next, wanted);
}

}  // namespace sluice::residency
