#include "sluice/engine/kept_thread.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "sluice/base/threads.h"

namespace sluice::engine {

/// Either kept, without a body, or somebody's.
struct KeptThread::Thread {
  std::mutex mutex;
  std::condition_variable changed;
  std::function<void()> body;  // none: it has ended
  std::thread::id id;

  void loop() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return body != nullptr; });
      lock.unlock();
      body();
      lock.lock();
      body = nullptr;
      changed.notify_all();
    }
  }
};

struct KeptThread::Pool {
  std::mutex mutex;
  std::vector<Thread*> kept;

  /// Never destroyed: threads wait in it until the process ends.
  static Pool& get() {
    static auto* const pool = new Pool;
    return *pool;
  }
  Thread* take() {
    const std::lock_guard lock(mutex);
    if (kept.empty()) return nullptr;
    Thread* const thread = kept.back();
    kept.pop_back();
    return thread;
  }
  void keep(Thread* thread) {
    const std::lock_guard lock(mutex);
    kept.push_back(thread);
  }
};

KeptThread::KeptThread(std::function<void()> body) : thread_(Pool::get().take()) {
  if (thread_ == nullptr) {
    auto made = std::make_unique<Thread>();
    std::thread started = start_thread("runs the engine", [at = made.get()] { at->loop(); });
    thread_ = made.release();
    thread_->id = started.get_id();
    started.detach();
  }
  const std::lock_guard lock(thread_->mutex);
  thread_->body = std::move(body);
  thread_->changed.notify_all();
}

void KeptThread::join() {
  {
    std::unique_lock lock(thread_->mutex);
    thread_->changed.wait(lock, [this] { return thread_->body == nullptr; });
  }
  Pool::get().keep(thread_);
}

std::thread::id KeptThread::get_id() const { return thread_->id; }

}  // namespace sluice::engine
