#pragma once

#include <mlx/stream.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "sluice/base/thread_pool.h"
#include "sluice/base/timeline.h"
#include "sluice/kernels/kernels.h"
#include "sluice/ops/scratch.h"
#include "sluice/ops/vector.h"
#include "sluice/residency/store/weights.h"

namespace mx = mlx::core;

namespace sluice::ops {

/// The graph of a step of up to so many tokens is evaluated whole. Longer ones are evaluated layer by layer, which
/// bounds their activations.
inline constexpr int64_t kShortStep = 16;

/// What activations are where they meet quantized weights.
enum class Activations : uint8_t {
  int8,  ///< 8 bits, with a scale per 32
  refined,  ///< the same, but few large ones among 32 do not make the others coarser (kernels::Int8Row)
  float32,  ///< as they are
};

/// Where a step's failure goes: a task on a stream must not throw (MLX would lose the type and run later
/// tasks on unwritten buffers). The first failure stays; later tasks of the step see it and do nothing.
/// So do they when the step was ended because nobody wants it any more, or cancelled. One for each step.
class ErrorSlot {
 public:
  void set(std::exception_ptr error) noexcept {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
  }
  /// Whether tasks do nothing.
  bool is_set() noexcept {
    const std::lock_guard lock(mutex_);
    const auto asked = [](const std::atomic<bool>* cancel) { return cancel->load(); };
    if (!cancels_.empty() && std::ranges::all_of(cancels_, asked)) ended_ = true;
    if (before_ != nullptr && before_->is_set()) ended_ = true;
    return ended_ || error_ != nullptr;
  }
  void end() noexcept {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  /// Throws what was set. False when the step was ended: perhaps not all of it was computed.
  bool check() {
    const std::lock_guard lock(mutex_);
    if (error_) std::rethrow_exception(error_);
    return !ended_;
  }

  /// Whoever sets the last of these (a signal handler may) ends the step. Empty: nobody does. They outlive the step.
  void set_cancels(std::vector<const std::atomic<bool>*> cancels) noexcept {
    const std::lock_guard lock(mutex_);
    cancels_ = std::move(cancels);
  }
  /// The slot of the step whose results this one takes, as long as that is computed: what ends that ends this one too.
  /// Null: it was computed.
  void follow(ErrorSlot* before) noexcept {
    const std::lock_guard lock(mutex_);
    before_ = before;
  }

 private:
  std::mutex mutex_;  // guards what follows
  std::exception_ptr error_;
  bool ended_ = false;
  std::vector<const std::atomic<bool>*> cancels_;
  ErrorSlot* before_ = nullptr;
};

/// What every primitive needs. One per step; outlives the arrays made with it.
struct Context {
  mx::Stream stream;
  ThreadPool& pool;
  const kernels::KernelTable& kernels;
  const residency::WeightStore& weights;
  ErrorSlot& errors;
  Scratch& scratch;
  Activations activations = Activations::int8;
  /// Lossy: decoding does without a token's lesser experts that are not in memory.
  bool skip_missing_experts = false;
  Timeline* timeline = nullptr;  ///< where what ran when is drawn
  int lane = -1;                 ///< of it, for the stream

  /// The same, with another slot.
  Context with(ErrorSlot& slot) const {
    return {stream,   pool, kernels, weights, slot, scratch, activations, skip_missing_experts,
            timeline, lane};
  }
};

}  // namespace sluice::ops
