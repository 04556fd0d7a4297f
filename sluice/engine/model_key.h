#pragma once

#include <string>

#include "sluice/engine/engine.h"

namespace sluice::engine {

/// What decides the bits of keys and values, beside the tokens: 32 bytes that are others for another model, other
/// settings, another instruction set or another arithmetic. Of files their names, sizes and times count, the beginnings
/// of those with weights (where the headers are), and all of config.json; not where they lie.
/// Throws Error(io) where a file cannot be read.
std::string model_key(const Engine::Impl& engine);

}  // namespace sluice::engine
