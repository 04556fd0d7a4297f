#pragma once

#include <cstdint>

#include "sluice/base/bytes.h"

namespace sluice::engine {

/// What a scheduler is doing and has done.
struct SchedulerReport {
  int64_t waiting = 0, active = 0, decoding = 0;                             ///< sequences, now
  int64_t steps = 0, prompt_tokens = 0, decode_tokens = 0, preemptions = 0;  ///< so far
  int64_t guessed_tokens = 0, right_guesses = 0;                             ///< so far
  Bytes prefixes;  ///< keys and values that are kept for prompts to come, or in use
};

}  // namespace sluice::engine
