#pragma once

#include <span>
#include <string>
#include <vector>

#include "sluice/engine/engine.h"
#include "sluice/engine/request.h"
#include "sluice/models/pooling.h"

namespace sluice::engine {

/// How the model's states become a text's vector, as the model says. Throws Error(unsupported) where more than pooling
/// would make it.
models::Pooling pooling_of(const Engine& engine);

/// A request for the vector of these tokens. Throws as pooling_of().
Request embedding_request(const Engine& engine, std::vector<text::Token> tokens);

/// The vectors of texts, each [hidden_size] and of length 1; they share steps with each other and with whatever else
/// the engine computes, and are the same however that is. Throws what begin_generation() throws, and what computing
/// meets.
std::vector<std::vector<float>> embed(Engine& engine,
                                      std::span<const std::vector<text::Token>> texts);

}  // namespace sluice::engine
