#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

namespace sluice::server {

/// Something a MaskThread does. Of any thread.
///   idle -> queued, by MaskThread::begin() -> doing -> done -> idle, by wait()
class MaskWork {
 public:
  virtual ~MaskWork() = default;
  /// Returns when it is done; what is only queued it does itself, so that nobody waits for the work of others. Throws
  /// what doing it threw.
  void wait();

 protected:
  virtual void work() = 0;

 private:
  friend class MaskThread;
  enum class State { idle, queued, doing, done };
  bool take();
  void do_taken();

  std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::idle;
  std::exception_ptr error_;
};

/// A thread beside the engine's: what the next tokens may be is found while the model computes the step that chooses
/// among them. One for all answers of a model; each has one piece of work at most.
class MaskThread {
 public:
  /// Throws Error(io) when there can be no thread.
  MaskThread();
  ~MaskThread();
  MaskThread(const MaskThread&) = delete;
  MaskThread& operator=(const MaskThread&) = delete;

  /// work: idle.
  void begin(std::shared_ptr<MaskWork> work);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<MaskWork>> queue_;
  bool stopping_ = false;
  std::thread thread_;  // last: starts when all else is there
};

}  // namespace sluice::server
