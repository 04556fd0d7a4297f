#include "sluice/base/thread_pool.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

/// Spinning costs less than a wake-up for the ~10 us between two primitives of a step.
constexpr int kSpins = 4000;

// ThreadPool::state_: generation in the upper half, then the open bit, then the number of workers inside.
constexpr uint64_t kOpen = uint64_t{1} << 31;
constexpr uint64_t kInside = kOpen - 1;
constexpr int kGenerationShift = 32;

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int n_threads) {
  try {
    for (int i = 1; i < n_threads; ++i) workers_.start("computes", [this] { work(); });
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stopping_ = true;
  generation_.fetch_add(1);
  generation_.notify_all();
  workers_.join();
}

void ThreadPool::take_ranges() noexcept {
  try {
    while (true) {
      const int64_t begin = loop_.next.fetch_add(loop_.grain, std::memory_order_relaxed);
      if (begin >= loop_.n) return;
      (*loop_.body)(begin, std::min(begin + loop_.grain, loop_.n));
    }
  } catch (...) {
    loop_.next.store(loop_.n, std::memory_order_relaxed);
    const std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

void ThreadPool::work() {
  uint32_t seen = 0;
  while (true) {
    for (int i = 0; i < kSpins && generation_.load(std::memory_order_acquire) == seen; ++i) {
      pause_briefly();
    }
    generation_.wait(seen, std::memory_order_acquire);
    if (stopping_) return;
    seen = generation_.load(std::memory_order_acquire);
    uint64_t state = state_.load(std::memory_order_acquire);
    bool entered = false;
    while (!entered && state >> kGenerationShift == seen && (state & kOpen) != 0) {
      entered = state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel);
    }
    if (!entered) continue;
    take_ranges();
    const uint64_t left = state_.fetch_sub(1, std::memory_order_acq_rel) - 1;
    if ((left & (kOpen | kInside)) == 0) state_.notify_one();
  }
}

void ThreadPool::parallel_for(int64_t n, int64_t grain,
                              const std::function<void(int64_t, int64_t)>& body) {
  grain = std::max<int64_t>(grain, 1);
  if (workers_.empty() || n <= grain) {
    if (n > 0) body(0, n);
    return;
  }
  loop_.n = n;
  loop_.grain = grain;
  loop_.body = &body;
  loop_.next.store(0, std::memory_order_relaxed);
  const uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
  state_.store(uint64_t{generation} << kGenerationShift | kOpen, std::memory_order_release);
  generation_.store(generation, std::memory_order_release);
  generation_.notify_all();
  take_ranges();
  uint64_t state = state_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
  for (int i = 0; i < kSpins && (state & kInside) != 0; ++i) {
    pause_briefly();
    state = state_.load(std::memory_order_acquire);
  }
  while ((state & kInside) != 0) {
    state_.wait(state, std::memory_order_acquire);
    state = state_.load(std::memory_order_acquire);
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace sluice
