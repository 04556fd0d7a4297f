#pragma once

#include <span>
#include <vector>

#include "sluice/engine/request.h"

namespace sluice::engine {

/// log(sum(exp(logits))), in float64.
double log_sum(std::span<const float> logits);

/// log(softmax(logits)) of one token, in float64 sums.
float logprob_of(std::span<const float> logits, text::Token token);

/// The n most probable tokens, best first, the lower id among equals.
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int n);

}  // namespace sluice::engine
