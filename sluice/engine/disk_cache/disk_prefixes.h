#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "sluice/engine/disk_cache/options.h"
#include "sluice/engine/disk_cache/prefix_read.h"
#include "sluice/engine/disk_cache/prefix_reader.h"
#include "sluice/engine/disk_cache/prefix_writer.h"
#include "sluice/engine/disk_cache/report.h"
#include "sluice/engine/disk_cache/restore_plan.h"

namespace sluice::engine {

/// The tier of the prompt cache below memory: prefixes that outlive the process. What a sequence sealed is written when
/// there is nothing to compute; a request whose prefix memory does not hold has it read, while others compute, where
/// that is faster than computing it. Blocks are bytes here, whatever they hold. All but the constructor, the destructor
/// and flush() are the engine's thread's.
class DiskPrefixes {
 public:
  /// What it takes of memory at most, beside the blocks, which are the pool's.
  static constexpr Bytes kMemory{12 << 20};

  /// model: all that decides the bits of a block (model_key()). wake: called by a thread when a read is over.
  /// Throws Error(io) where the folder cannot be used.
  DiskPrefixes(const DiskCacheOptions& options, const std::string& model, std::string model_name,
               std::shared_ptr<const nn::KvLayout> layout, residency::KvPool& pool,
               std::function<void()> wake);
  /// Writes for a few seconds more what was kept.
  ~DiskPrefixes();

  /// What memory holds of a prompt.
  struct Held {
    std::vector<nn::KvStretch> stretches;
    int64_t length = 0;  ///< tokens that can be gone on from
  };
  /// Has the pool's blocks given up until so many bytes are back; false when they are not.
  using MakeRoom = std::function<bool(Bytes)>;

  /// Begins to read what makes the beginning of `tokens` that is held longer; null when there is nothing, no memory for
  /// it, or computing is faster.
  std::shared_ptr<PrefixRead> read(std::string_view salt, std::span<const int32_t> tokens,
                                   Held held, const MakeRoom& make_room);
  /// Keeps what a sequence sealed of its first tokens.
  void keep(std::string_view salt, std::span<const int32_t> tokens, const nn::KvCache& kv);
  /// There is nothing to compute, or there is.
  void set_idle(bool idle) { writer_->set_idle(idle); }
  /// Returns once no block is being written; whether one was.
  bool let_go() { return writer_->let_go(); }
  /// How long a prompt's token takes.
  void set_token_seconds(double seconds);
  /// No more reads, and nobody is woken.
  void close();

  /// Writes all that was kept, within that time.
  void flush(std::chrono::milliseconds most);
  DiskCacheReport report() const;

 private:
  RestoreRates rates() const;
  std::vector<StoredStretch> look_up(std::string_view salt, std::span<const int32_t> tokens,
                                     size_t n_held, std::vector<std::string>& chains);
  Presence presence_of(const std::vector<StoredStretch>& stored) const;
  bool is_worth_it(int64_t tokens, Bytes bytes);
  std::optional<residency::KvReservation> reserve(const RestorePlan& plan,
                                                  const MakeRoom& make_room);

  const bool even_if_slower_;
  const std::string model_;
  const std::shared_ptr<const nn::KvLayout> layout_;
  residency::KvPool& pool_;
  PromptStore store_;
  std::string pace_name_;  // under which the store keeps token_seconds_
  std::atomic<double> token_seconds_ = 0;
  std::atomic<int64_t> restored_tokens_ = 0;
  std::atomic<uint64_t> restored_bytes_ = 0;
  std::unique_ptr<PrefixReader> reader_;  // null once closed
  std::atomic<double> read_rate_ = 0;     // the reader's, also when it is gone
  std::unique_ptr<PrefixWriter> writer_;
};

}  // namespace sluice::engine
