#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "sluice/decode/stepper.h"
#include "sluice/engine/disk_cache/cache_index.h"

namespace sluice::engine {

/// Blocks on their way from disk to memory, for one prompt.
///
/// reading -> over: nothing writes into its blocks any more, and take() gives those that are right. A cancelled one is
/// over soon, too.
class PrefixRead {
 public:
  struct Block {
    size_t stretch = 0, group = 0;
    std::string chain;
    StoredBlock stored;
    std::shared_ptr<residency::KvBlock> memory;
    bool is_right = false;
  };

  /// held: what is in memory of each stretch, which stays there while this lives.
  PrefixRead(std::vector<nn::KvStretch> held, std::vector<Block> blocks)
      : held_(std::move(held)), blocks_(std::move(blocks)) {}

  bool is_over() const { return over_.load(std::memory_order_acquire); }
  void cancel() { cancelled_ = true; }

  /// Once it is over: all stretches, with the blocks that were held and those that were read. Gives up its own.
  std::vector<decode::Sealed> take();
  /// The same where nobody wants them.
  void drop();

  // The reader's.
  bool is_cancelled() const { return cancelled_; }
  std::vector<Block>& blocks() { return blocks_; }
  void end() {
    over_.store(true, std::memory_order_release);
    over_.notify_all();
  }
  void wait() const { over_.wait(false, std::memory_order_acquire); }

 private:
  std::vector<nn::KvStretch> held_;
  std::vector<Block> blocks_;
  std::atomic<bool> over_ = false, cancelled_ = false;
};

}  // namespace sluice::engine
