#pragma once

#include <functional>

#include "sluice/ops/context.h"
#include "sluice/ops/sequence_kv.h"

// For bodies of primitives: what a layer carries from token to token, in the blocks that a step was given.
namespace sluice::ops {

/// Of one layer and sequence: the state before the step's tokens, where the one after them goes, and the one after some
/// of them that is kept beside it.
struct State {
  const std::byte* before = nullptr;  ///< null: zeros
  std::byte* after = nullptr;
  std::byte* kept = nullptr;  ///< null: none
  int64_t kept_after = 0;
};
State state_of(const SequenceKv& sequence, const KvLayerLayout& layout);

/// How a layer's state is shared out: parts of `floats`, the last one perhaps shorter, each changed by itself.
struct StateParts {
  int64_t total = 0, floats = 0;

  int64_t n() const { return (total + floats - 1) / floats; }
};

/// A token of the step, by its row.
struct StateToken {
  int64_t row = 0;
  int64_t position = 0;
};

/// step(token, part, state of the part) for every part and token of every sequence, a part's tokens in order. Between tokens a
/// state is what layout.type keeps of it, also where both are of one step.
void for_each_state(const Context& context, const std::vector<SequenceKv>& sequences,
                    const KvLayerLayout& layout, const StateParts& parts,
                    const std::function<void(StateToken, int64_t part, float* state)>& step);

/// log(1 + e^x).
float softplus(float x);
/// 1 / (1 + e^-x).
float sigmoid(float x);

}  // namespace sluice::ops
