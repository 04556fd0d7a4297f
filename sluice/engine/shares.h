#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

#include "sluice/engine/engine.h"

namespace sluice::engine {

/// Budgets of one model, without what the process has whatever is loaded.
struct ModelNeed {
  Bytes least;  ///< below it the model does not run
  Bytes whole;  ///< above it nothing is gained
};

/// A part for each model, so that any n_loaded of them fit into `ram` together: as much as it can use, or, where that is
/// too much for all, the same for each of those (max-min fair). n_loaded is at least 1.
/// Throws Error(over_budget) naming the first model (from 0) whose part is too small, and the ram that would do.
std::vector<Bytes> divide_ram(Bytes ram, std::span<const ModelNeed> models, size_t n_loaded);

/// What a model is opened with to keep within its part: EngineOptions::ram and baseline.
struct Share {
  Bytes ram, baseline;
};

/// Measures the process, opens each model's headers, and divides options.ram among them. What opening takes for a
/// moment is left to one model at a time. Before any model is open. Throws as divide_ram() and Engine::open().
std::vector<Share> shares_of(std::span<const std::filesystem::path> models,
                             const EngineOptions& options, size_t n_loaded);

}  // namespace sluice::engine
