#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "sluice/cli/plan_text.h"
#include "sluice/engine/engine.h"
#include "sluice/engine/hub/hub_headers.h"

namespace sluice::cli {

/// What a plan is for: this machine, or one of which some is given.
struct PlannedMachine {
  std::string ram = "auto";  ///< "3GB", or what the system can spare
  std::optional<Bytes> sim_ram;
  std::optional<double> sim_disk, sim_bandwidth;  ///< bytes per second
};

/// Plans for a model as the user names it: from its files, or from what they begin with on the hub.
/// Throws as make_plan(), and Error(bad_request, io) where it is neither here nor on the hub.
PlanReport plan_of(const std::string& model, const engine::EngineOptions& options,
                   const PlannedMachine& machine);

/// Plans for the model in `path`, of whose files the headers are enough. `model` is how the user calls it.
/// Throws Error(over_budget) with the sum where the machine has too little memory, and as Engine::open.
PlanReport make_plan(const std::string& model, const std::filesystem::path& path,
                     const engine::EngineOptions& options, const PlannedMachine& machine);

/// The same for a model that is on a hub, whose files take `bytes`. Errors name the model, not the temporary
/// files, which are gone as soon as they were read.
PlanReport make_plan(const std::string& model, engine::HubHeaders headers, Bytes bytes,
                     const engine::EngineOptions& options, const PlannedMachine& machine);

}  // namespace sluice::cli
