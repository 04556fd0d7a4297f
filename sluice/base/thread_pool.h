#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <mutex>

#include "sluice/base/threads.h"

namespace sluice {

/// Threads that share one loop at a time. The caller takes part as one of them.
/// Between loops a thread spins briefly, then sleeps.
/// Only one thread may call parallel_for at a time (in Sluice: the stream's).
class ThreadPool {
 public:
  /// n_threads counts the caller; 1 makes no thread at all. Throws Error(io) when the system does
  /// not make them all.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(begin, end) on disjoint ranges that cover [0, n), each `grain` long but the last.
  /// Ranges are handed out as threads become free. Returns when all are done. What a body throws
  /// first, in whatever thread, is thrown here once no thread is inside any more; ranges that had
  /// not begun are then left out.
  void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

 private:
  struct Loop {
    int64_t n = 0;
    int64_t grain = 1;
    const std::function<void(int64_t, int64_t)>* body = nullptr;
    std::atomic<int64_t> next{0};
  };

  void work();
  void take_ranges() noexcept;
  void stop();

  Loop loop_;
  std::atomic<uint32_t> generation_{0};  // changes when a loop is posted (or the end asked for)
  /// The posted loop's generation, whether it may still be entered, how many workers are inside. A worker
  /// that wakes too late finds the loop closed and is not waited for.
  std::atomic<uint64_t> state_{0};
  std::atomic<bool> stopping_{false};
  std::mutex error_mutex_;
  std::exception_ptr error_;  // the running loop's first
  Threads workers_;
};

/// Processors this process may use, at least 1. Linux: its affinity, and the quota of each CPU
/// cgroup (v1 or v2) from its own to the top. `root` is where tests put a /proc and a /sys of their
/// own.
int available_processors(const std::filesystem::path& root = "/");

}  // namespace sluice
