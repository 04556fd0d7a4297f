#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "sluice/engine/engine.h"

namespace sluice::engine {

/// How a budget is divided, in bytes, mapped or not, slots.
nlohmann::json residency_json(const residency::ResidencyPlan& plan, int64_t context);

/// The same for --ram, what `streaming` cost, and what memory pressure changed; null without --ram.
nlohmann::json residency_json(const Engine& engine,
                              const std::optional<residency::StreamStatistics>& streaming);

/// {"keys", "values", "recent"} of --kv-bits; null without it.
nlohmann::json kv_bits_json(const nn::KvFormat& kv);

}  // namespace sluice::engine
