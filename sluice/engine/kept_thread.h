#pragma once

#include <functional>
#include <thread>

namespace sluice::engine {

/// A thread that is not ended but kept, for the next one of its kind to run on: MLX gives each stream a thread that it
/// never ends, and a stream belongs to the thread that made it. So a process has as many of both as it had engines at once.
class KeptThread {
 public:
  /// body: must not throw. Throws Error(io) where none is kept and the system makes no more.
  explicit KeptThread(std::function<void()> body);
  KeptThread(const KeptThread&) = delete;
  KeptThread& operator=(const KeptThread&) = delete;

  /// Waits for the body's end. Once, before this goes.
  void join();
  std::thread::id get_id() const;

 private:
  struct Thread;
  struct Pool;
  Thread* thread_;
};

}  // namespace sluice::engine
