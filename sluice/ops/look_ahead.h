#pragma once

#include <memory>
#include <span>

#include "sluice/ops/moe.h"
#include "sluice/residency/experts/prefetcher.h"

namespace sluice::ops {

/// Sparse blocks after the running one whose experts are guessed.
inline constexpr int64_t kLayersGuessed = 2;
/// Guesses of a block: the routers of those applied to its input, and the next one's to a part of
/// its output and to all of it.
inline constexpr int64_t kGuesses = kLayersGuessed + 2;

/// While a sparse block of few tokens runs, says which experts the blocks after it will probably
/// need, the likeliest first: what their routers choose for what is known so far. Of use where
/// experts are streamed; else it does nothing.
class LookAhead {
 public:
  using Layers = std::span<const std::shared_ptr<const MoeSpec>>;

  /// `later`: the blocks that run next; of them those whose guesses are of use are told. x, part,
  /// out below: float32 [n_tokens, hidden_size], with the residual, as the next block gets it.
  LookAhead(const Context& context, Scratch::Frame& frame, Layers later, int64_t n_tokens);

  /// With the block's input, as its experts begin to be read.
  void before(const float* x);
  /// Whether waiting() and after() are of use.
  bool guesses_next() const;
  /// With a part of its output, while other experts are still read.
  void waiting(const float* part);
  /// With all of its output.
  void after(const float* out);

 private:
  void guess(const MoeSpec& layer, residency::GuessFrom from, const float* x);

  const Context& context_;
  Scratch::Frame& frame_;
  Layers later_;
  int64_t n_tokens_;
};

}  // namespace sluice::ops
