#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "sluice/engine/kept_thread.h"

namespace sluice::engine {

/// One thread that runs what others hand it, in order, and between that goes on with one long piece of work, turn by
/// turn. MLX's streams belong to the thread that made them, so everything that touches an array goes through here.
class Worker {
 public:
  /// What a turn of the work left: nothing to do, more to do, or something that must be ended before others may run.
  enum class Turn { idle, more, unfinished };
  /// others_wait: it should come to an end that others may run after.
  using Work = std::function<Turn(bool others_wait)>;

  /// Throws Error(io) when there can be no thread.
  Worker() : thread_([this] { loop(); }) {}
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

  /// Runs `job` on the thread and waits; rethrows what it threw. From the thread itself, where a job calls
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

  /// Has the thread do this whenever it was woken, until a turn is idle. Once, from a job.
  void set_work(Work work) { work_ = std::move(work); }
  /// There is work. Any thread may tell.
  void wake() {
    {
      const std::lock_guard lock(mutex_);
      woken_ = true;
    }
    wake_.notify_one();
  }

 private:
  void loop() {
    std::unique_lock lock(mutex_);
    Turn turn = Turn::idle;
    bool after_job = false;  // jobs and turns alternate where there are both
    while (true) {
      if (turn == Turn::idle)
        wake_.wait(lock, [this] { return stopping_ || woken_ || !jobs_.empty(); });
      const bool works_next = turn == Turn::unfinished || (turn == Turn::more && after_job);
      if (!jobs_.empty() && !works_next) {
        const std::function<void()> job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        job();
        lock.lock();
        after_job = true;
      } else if (work_ && (turn != Turn::idle || woken_)) {
        woken_ = false;
        const bool others_wait = !jobs_.empty();
        lock.unlock();
        turn = work_(others_wait);
        lock.lock();
        after_job = false;
      } else if (stopping_) {
        return;
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  Work work_;  // the thread's own
  bool stopping_ = false, woken_ = false;
  KeptThread thread_;  // last: starts when all else is there
};

}  // namespace sluice::engine
