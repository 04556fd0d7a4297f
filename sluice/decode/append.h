#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>

#include "sluice/decode/chunks.h"
#include "sluice/decode/stepper.h"

namespace sluice::decode {

/// Gets the logits that follow one position: float32 [vocab_size], valid during the call.
using LogitsSink = std::function<void(int64_t position, std::span<const float> logits)>;

struct AppendOptions {
  int64_t chunk = 512;       ///< tokens per pass; does not change a bit of the result
  int64_t layer_tokens = 0;  ///< so many pass a layer before the next one runs, whatever the chunk
  int64_t first_wanted = 0;  ///< index into the tokens from which logits are wanted
  /// Above 0: these are a whole prompt, which is pruned to so many tokens; only its last token's logits may be wanted.
  int64_t n_kept = 0;
  Phase phase = Phase::prompt;
  SeeHidden see_raw = {};  ///< as Row::see_raw
  /// Ends it within a layer.
  const std::atomic<bool>* cancel = nullptr;
};

/// Appends `tokens` to one sequence, while no step is in flight; calls sink on the stream's thread, in order, for every
/// wanted token. False when cancelled: the cache then holds what it did, or some of `tokens` more. Throws what a
/// kernel or `sink` met, Error(over_budget), and Error(io) when a model file changed.
bool append(Stepper& stepper, nn::KvCache& kv, std::span<const int32_t> tokens,
            const AppendOptions& options, const LogitsSink& sink);

}  // namespace sluice::decode
