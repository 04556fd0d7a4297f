#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sluice/base/threads.h"
#include "sluice/engine/disk_cache/prompt_store.h"
#include "sluice/nn/kv_cache.h"

namespace sluice::engine {

/// A thread that writes the sealed blocks of sequences that have ended, while the engine has nothing to compute. It
/// holds one block at a time, and lets go of it within a megabyte when the engine goes on; what was given up in the
/// meantime is not written.
class PrefixWriter {
 public:
  struct Kept {
    std::string salt;
    std::vector<int32_t> tokens;                                         ///< whole stretches
    std::vector<std::vector<std::weak_ptr<residency::KvBlock>>> blocks;  ///< [stretch][group]
    int64_t used_at = 0;
  };
  struct Written {
    int64_t blocks = 0, refused = 0;
    Bytes bytes;
  };
  /// What blocks are entered with: of StretchKey, and the salt whose label is its own name.
  struct Identity {
    std::string model, model_name, named_salt;
  };
  /// Sequences that wait at once, and their tokens: of more the oldest are forgotten.
  static constexpr size_t kMostKept = 64;
  static constexpr size_t kMostTokens = 1 << 20;

  /// is_wanted: whether a stretch whose blocks take so many bytes is worth writing.
  /// Throws Error(io) when there can be no thread.
  PrefixWriter(PromptStore& store, std::shared_ptr<const nn::KvLayout> layout, Identity identity,
               std::function<bool(Bytes)> is_wanted);
  /// What is not written by now is forgotten.
  ~PrefixWriter();
  PrefixWriter(const PrefixWriter&) = delete;
  PrefixWriter& operator=(const PrefixWriter&) = delete;

  void keep(Kept kept);
  void set_idle(bool idle);
  /// Returns once it holds no block; whether it held one.
  bool let_go();
  /// Writes now, idle or not, and returns when all is written or the time is over.
  void flush(std::chrono::milliseconds most);
  Written written() const;

 private:
  using Clock = std::chrono::steady_clock;
  using Blocks = std::vector<std::weak_ptr<residency::KvBlock>>;
  enum class Went { on, stopped, refused };

  void loop();
  Went write(const Kept& kept);
  Went write_stretch(const StretchKey& key, const Blocks& blocks);
  PromptStore::Put write_block(const StretchKey& key, size_t group,
                               const std::weak_ptr<residency::KvBlock>& of);
  std::string label_of(const std::string& salt) const;
  bool may_go_on() const;
  bool is_time() const { return flushing_ || (idle_ && Clock::now() >= idle_since_ + kCalm); }
  void set_holding(bool holding);

  /// Of idleness, before anything is written: requests often follow each other closely.
  static constexpr std::chrono::milliseconds kCalm{100};

  PromptStore& store_;
  const std::shared_ptr<const nn::KvLayout> layout_;
  const Identity identity_;
  const std::function<bool(Bytes)> is_wanted_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable wake_, told_;
  std::deque<Kept> queue_;
  Written written_;
  size_t n_tokens_ = 0;  // of the queue
  Clock::time_point idle_since_;
  bool idle_ = false, flushing_ = false, letting_go_ = false, stopping_ = false;
  bool holding_ = false, writing_ = false;
  Threads thread_;  // last: starts when all else is there
};

}  // namespace sluice::engine
