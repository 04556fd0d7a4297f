#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "sluice/base/threads.h"
#include "sluice/engine/disk_cache/prefix_read.h"
#include "sluice/engine/disk_cache/prompt_store.h"

namespace sluice::engine {

/// A thread that reads blocks into memory, past the page cache, and checks them. Of one prompt it stops at the first
/// that is not right: what follows is of no use.
class PrefixReader {
 public:
  /// on_over: on the thread, whenever a read is over.
  /// Throws Error(io) when there can be no thread.
  PrefixReader(PromptStore& store, std::function<void()> on_over);
  /// Cancels what is not over and waits for it.
  ~PrefixReader();
  PrefixReader(const PrefixReader&) = delete;
  PrefixReader& operator=(const PrefixReader&) = delete;

  void submit(std::shared_ptr<PrefixRead> read);

  /// Of what was read lately; 0: nothing was.
  double bytes_per_second() const { return bytes_per_second_; }
  void set_bytes_per_second(double rate) { bytes_per_second_ = rate; }

 private:
  void loop();
  void carry_out(PrefixRead& read);
  bool read_batch(std::span<PrefixRead::Block> batch, const PrefixRead& read);

  PromptStore& store_;
  std::function<void()> on_over_;
  std::atomic<double> bytes_per_second_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::deque<std::shared_ptr<PrefixRead>> queue_;
  std::shared_ptr<PrefixRead> current_;
  bool stopping_ = false;
  Threads thread_;  // last: starts when all else is there
};

}  // namespace sluice::engine
