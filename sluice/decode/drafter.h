#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sluice::decode {

/// Guesses at the tokens that follow, in order.
struct Draft {
  std::vector<int32_t> tokens;
  std::vector<float> chances;  ///< of each that it is right, where those before it are
};

/// Guesses how a sequence goes on, so that a step may check several tokens at once. What it says costs time or saves it and
/// never changes a token. Belongs to one generation; called on the engine's thread.
class Drafter {
 public:
  virtual ~Drafter() = default;
  /// timeline: all tokens so far; it begins with that of the call before. At most `most` tokens, or none.
  virtual Draft draft(std::span<const int32_t> timeline, int64_t most) = 0;
};

}  // namespace sluice::decode
