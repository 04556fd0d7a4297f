#pragma once

#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/base/error.h"

namespace sluice {

/// A thread that runs `body`, which must not throw. Throws Error(io), which names `purpose`, when
/// the system makes no more: there is no memory for its stack, or a limit on processes was reached.
template <typename Body>
std::thread start_thread(std::string_view purpose, Body&& body) {
  try {
    return std::thread(std::forward<Body>(body));
  } catch (const std::system_error& error) {
    fail(ErrorKind::io,
         "a thread that {} cannot be made: {}; ask for fewer threads, or allow more "
         "(ulimit -u, ulimit -v, pids.max)",
         purpose, error.code().message());
  }
}

/// Threads that are waited for when this ends, also by an exception while the next one is made.
/// What makes them end is their owner's affair.
class Threads {
 public:
  Threads() = default;
  ~Threads() { join(); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  /// As start_thread().
  template <typename Body>
  void start(std::string_view purpose, Body&& body) {
    threads_.reserve(threads_.size() + 1);
    threads_.push_back(start_thread(purpose, std::forward<Body>(body)));
  }
  void join() {
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }
  size_t size() const { return threads_.size(); }
  bool empty() const { return threads_.empty(); }

 private:
  std::vector<std::thread> threads_;
};

}  // namespace sluice
