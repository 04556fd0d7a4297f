#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "sluice/base/threads.h"
#include "sluice/residency/kv_spill.h"

namespace sluice::residency {

/// Parts of spilled blocks on their way to whoever computes with them. Of its memory one half is used while the other is
/// filled, in the order of use, which is known. One caller at a time.
class KvStage {
 public:
  struct Wanted {
    std::shared_ptr<const KvSpill::Stored> stored;
    size_t part = 0;
    bool operator==(const Wanted&) const = default;
  };

  /// Throws Error(io), Error(over_budget).
  KvStage(KvSpill& spill, Bytes half);
  /// Waits for what is being read.
  ~KvStage();
  KvStage(const KvStage&) = delete;
  KvStage& operator=(const KvStage&) = delete;

  /// What one bring() may take.
  Bytes half() const { return half_; }
  /// Has these in memory: waits for what was expected, reads anything else now. They stay until the next call. Throws
  /// SpillError, Error(internal) for more than half().
  void bring(const std::vector<Wanted>& wanted);
  /// The i-th of what was brought last.
  const std::byte* at(size_t i) const { return halves_[used_].at[i]; }
  /// bring() will be asked for these next, perhaps.
  void expect(const std::vector<Wanted>& wanted);

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  struct Half {
    std::unique_ptr<std::byte, Free> memory;
    std::vector<Wanted> wanted;
    std::vector<std::byte*> to;
    std::vector<const std::byte*> at;
    std::exception_ptr error;  // the first one
    size_t left = 0;           // not here yet
  };
  void fill(Half& half, const std::vector<Wanted>& wanted);
  void empty(Half& half, std::unique_lock<std::mutex>& lock);
  void loop();

  KvSpill& spill_;
  const Bytes half_;
  std::mutex mutex_;  // guards what follows, but for what at() sees
  std::condition_variable work_, done_;
  Half halves_[2];
  size_t used_ = 0;
  std::deque<std::pair<Half*, size_t>> queue_;
  bool closed_ = false;
  Threads readers_;
};

}  // namespace sluice::residency
