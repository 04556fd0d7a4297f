#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "sluice/base/threads.h"

namespace sluice::engine {

/// One thread that runs what others hand it, in order. MLX's streams belong to the thread that made
/// them, so everything that touches an array goes through here.
class Worker {
 public:
  /// Throws Error(io) when there can be no thread.
  Worker() : thread_(start_thread("runs the engine", [this] { loop(); })) {}
  ~Worker() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Runs `job` on the thread and waits; rethrows what it threw. From the thread itself, where a callback calls
  /// back, it runs at once: nobody else would.
  template <typename Job>
  auto run(Job&& job) -> decltype(job()) {
    if (std::this_thread::get_id() == thread_.get_id()) return job();
    std::packaged_task<decltype(job())()> task(std::forward<Job>(job));
    auto result = task.get_future();
    {
      const std::lock_guard lock(mutex_);
      jobs_.emplace_back([&task] { task(); });
    }
    wake_.notify_one();
    return result.get();
  }

 private:
  void loop() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  bool stopping_ = false;
  std::thread thread_;  // last: starts when all else is there
};

}  // namespace sluice::engine
