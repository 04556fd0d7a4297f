#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <vector>

#include "sluice/decode/runner.h"

namespace sluice::decode {

/// Sequences that are continued together, a token each at a time. While a step computes, the next one's graph is
/// built and its first layers are handed to the stream, so neither that nor what the caller does with a token
/// costs time. Belongs to the engine's thread.
class Decoding {
 public:
  /// tokens[i] continues the sequence whose keys and values caches[i] holds. `choose` is called on the stream's
  /// thread, once for each sequence and step, in order. ahead: whether steps are begun before they are asked for.
  /// cancel: when it becomes true, the step that next() waits for ends within a layer; null: it does not.
  /// `runner`, the caches and *cancel outlive this.
  Decoding(const Runner& runner, std::vector<nn::KvCache*> caches, std::vector<int32_t> tokens,
           Choose choose, bool ahead, const std::atomic<bool>* cancel = nullptr);
  /// Gives up a step that was begun and not asked for: the caches then hold what was.
  ~Decoding();
  Decoding(const Decoding&) = delete;
  Decoding& operator=(const Decoding&) = delete;

  /// Appends a token to each sequence, the first time those given at first, then those returned last. Returns
  /// what `choose` chose after them. more: next() will probably be called again. Empty when cancelled: the caches
  /// then hold what they did, and next() is not called any more.
  /// Throws what a kernel or `choose` met, and Error(io) when a model file changed; the caches are then unusable.
  const std::vector<int32_t>& next(bool more);

 private:
  /// A step that was begun, and where a cancel can end it what the caches held before. Copies that nobody appends to,
  /// unlike snapshots, cost no block.
  struct Step {
    Runner::Begun begun;
    std::vector<nn::KvCache> before;
  };
  Step begin(std::span<nn::KvCache* const> caches, const mx::array& tokens, Choose choose) const;
  void abandon();

  const Runner& runner_;
  std::vector<nn::KvCache*> caches_;
  std::vector<int32_t> tokens_;  // chosen last
  Choose choose_;
  bool ahead_;
  const std::atomic<bool>* cancel_;
  std::optional<mx::array> computing_;  // what is chosen next, until it was waited for
  std::optional<Step> begun_;           // of all sequences; appends what is in tokens_
};

}  // namespace sluice::decode
