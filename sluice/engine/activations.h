#pragma once

#include <cstdint>

#include "sluice/base/bytes.h"
#include "sluice/nn/demands.h"

namespace sluice::engine {

/// The largest steps that an engine will take.
struct StepSize {
  int64_t n_tokens = 1;
  int64_t n_waiting = 0;  ///< tokens beside these whose rows wait until the step has passed a layer
  int64_t attended = 1;   ///< of a sequence, tokens whose blocks attention goes over
  bool spills =
      false;  ///< attention goes over blocks in ranges, and keeps what queries have of those before
  bool prunes = false;  ///< prompts
  int n_threads = 1;
  bool all_int8 = false;  ///< no weights of layers meet float activations
  Bytes logits = {};      ///< of a step, at most, and what is made of them
  Bytes strip = {};       ///< what a thread unpacks packed matrices into
  Bytes embedding = {};   ///< rows of the token table on their way, before the first layer computes
};

/// The arrays between primitives.
Bytes array_bytes(const nn::StepDemands& demands, const StepSize& step);

/// What a step has in memory at once beside weights, keys and values: the arrays between primitives, the
/// memory of the primitive that needs most (ops/scratch.h keeps it), what each thread keeps, the logits. The
/// model's parts say how wide they are; what ops/ makes of it is known here, so a change there that takes more belongs
/// here too; tests/e2e/test_budget.py checks the sum.
Bytes activation_bytes(const nn::StepDemands& demands, const StepSize& step);

}  // namespace sluice::engine
