#include "sluice/server/answers/mask_thread.h"

#include <utility>

#include "sluice/base/threads.h"

namespace sluice::server {

bool MaskWork::take() {
  const std::lock_guard lock(mutex_);
  if (state_ != State::queued) return false;
  state_ = State::doing;
  return true;
}

void MaskWork::do_taken() {
  std::exception_ptr error;
  try {
    work();
  } catch (...) {
    error = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
  state_ = State::done;
  changed_.notify_all();
}

void MaskWork::wait() {
  if (take()) do_taken();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return state_ != State::doing; });
  state_ = State::idle;
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

MaskThread::MaskThread() {
  thread_ = start_thread("finds what may follow", [this] { run(); });
}

MaskThread::~MaskThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void MaskThread::begin(std::shared_ptr<MaskWork> work) {
  {
    const std::lock_guard lock(work->mutex_);
    work->state_ = MaskWork::State::queued;
  }
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  changed_.notify_one();
}

void MaskThread::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    std::shared_ptr<MaskWork> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    if (work->take()) work->do_taken();
    work.reset();  // perhaps the last one who holds it
    lock.lock();
  }
}

}  // namespace sluice::server
