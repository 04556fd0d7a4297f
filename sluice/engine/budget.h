#pragma once

#include "sluice/engine/engine.h"

namespace sluice::engine {

/// Tokens of a prompt that pass a streamed layer before the next one is read.
int64_t layer_tokens(const Engine::Impl& engine);

/// Divides `ram`, which is for the whole process, and holds the engine's weights so. The model is open and
/// nothing computed yet: what the process takes now is counted as it is.
/// Throws Error(over_budget) with the sum when it is too little, Error(io).
residency::ResidencyPlan hold_weights_within(Bytes ram, Engine::Impl& engine);

}  // namespace sluice::engine
