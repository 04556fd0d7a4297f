#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "sluice/engine/engine.h"

namespace sluice::cli {

/// How a budget is divided, in bytes, mapped or not, slots.
nlohmann::json residency_json(const residency::ResidencyPlan& plan, int64_t context);

/// The same for --ram, what `streaming` cost, and what memory pressure changed; null without --ram.
nlohmann::json residency_json(const engine::Engine& engine,
                              const std::optional<residency::StreamStatistics>& streaming);

/// Puts what every result says of how it was computed into it: "activations", "lossy", and "context" with the most
/// tokens of a sequence and what the model was trained for (0: it does not say).
void add_arithmetic(nlohmann::json& result, const engine::Engine& engine);

/// {"keys", "values", "recent"} of --kv-bits; null without it.
nlohmann::json kv_bits_json(const nn::KvFormat& kv);

/// The lossy options in force, by name; null without any.
nlohmann::json lossy_json(const engine::Engine& engine);

/// "84 % of experts in memory, 1.21 GB/s from disk, waited 12 % of that time".
std::string streaming_line(const residency::StreamStatistics& streaming);

}  // namespace sluice::cli
