#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "sluice/engine/engine.h"

namespace sluice::cli {

/// Puts what every result says of how it was computed into it: "activations", "lossy", and "context" with the most
/// tokens of a sequence and what the model was trained for (0: it does not say).
void add_arithmetic(nlohmann::json& result, const engine::Engine& engine);

/// The lossy options in force, by name; null without any.
nlohmann::json lossy_json(const engine::Engine& engine);

/// "84 % of experts in memory, 1.21 GB/s from disk, waited 12 % of that time".
std::string streaming_line(const residency::StreamStatistics& streaming);

}  // namespace sluice::cli
