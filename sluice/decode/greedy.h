#pragma once

#include <functional>
#include <span>
#include <vector>

#include "sluice/decode/stepper.h"

namespace sluice::decode {

/// Continues sequences together by n tokens each, always the best one, while no step is in flight. tokens[i] is
/// appended to *caches[i] first. ahead: steps are begun before the one before is looked at. on_step gets the tokens
/// that were chosen, one a sequence. Throws what a kernel met, Error(over_budget), and Error(io) when a model file
/// changed.
void continue_greedily(Stepper& stepper, std::span<nn::KvCache* const> caches,
                       std::vector<int32_t> tokens, int64_t n, bool ahead,
                       const std::function<void(std::span<const int32_t>)>& on_step);

}  // namespace sluice::decode
