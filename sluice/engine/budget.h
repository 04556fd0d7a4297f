#pragma once

#include "sluice/engine/engine.h"

namespace sluice::engine {

/// Tokens of a prompt that pass a streamed layer before the next one is read.
int64_t layer_tokens(const Engine::Impl& engine);

/// The most logits of a step where memory is budgeted: a row for each sequence that is expected.
Bytes logits_within_budget(const Engine::Impl& engine);

/// What the process has now, and what its code will take: before any model is open.
Bytes process_baseline();

/// What the model needs, and the process beside it. The model is open and nothing computed yet: the heap is
/// counted as it is now, the rest is estimated, from above. `sluice plan` and `--ram` both ask here. drafts: with the
/// layer that drafts tokens, which the model has.
residency::Footprint footprint_of(const Engine::Impl& engine, bool drafts);

/// Tokens of a sequence whose keys and values stay in memory within `ram`: all of the context, or where the others can be
/// spilled as many as fit beside the weights, and those of a step at least.
int64_t kept_tokens(const Engine::Impl& engine, const residency::Footprint& footprint, Bytes ram);

/// Whether the model has a layer that drafts tokens and all of its weights fit into `ram` with it. Where they are streamed,
/// reading more of them for guesses would cost what is gained.
bool mtp_fits(const Engine::Impl& engine, Bytes ram);

/// Has the keys and values of a sequence of n_tokens in memory now, as far as they are kept at
/// once: the same count as footprint_of()'s. Throws Error(bad_request) for more than the context,
/// Error(over_budget).
void preallocate_kv(int64_t n_tokens, Engine::Impl& engine);

/// Divides `ram`, which is for the whole process, and holds the engine's weights so; keys and
/// values get their share as a cap, however many sequences there will be. A layer that drafts tokens is dropped unless
/// mtp_fits(). Throws Error(over_budget)
/// with the sum when it is too little, Error(io).
residency::ResidencyPlan hold_weights_within(Bytes ram, Engine::Impl& engine);

}  // namespace sluice::engine
