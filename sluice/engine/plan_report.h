#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sluice/engine/engine.h"
#include "sluice/engine/hub/hub_headers.h"
#include "sluice/nn/config.h"
#include "sluice/residency/plan/plan_parts.h"

namespace sluice::engine {

/// What a pull of the model would take.
struct PlannedDownload {
  Bytes bytes;
  std::optional<Bytes> room;  ///< what it may fill of the disk; nullopt when that cannot be told

  bool fits() const { return !room || bytes <= *room; }
};

/// What `sluice plan` found.
struct PlanReport {
  std::string model;
  nn::Config config;
  Bytes file_bytes, bytes_active;
  int64_t context = 0;
  int64_t snap_kv = 0;      ///< EngineOptions::snap_kv
  int64_t kept_tokens = 0;  ///< whose keys and values stay in memory: the context, but with `spill`
  Bytes spilled = {};       ///< of keys and values at the end of the context; each token reads them
  bool simulated = false;   ///< some of the machine is given, not measured
  bool has_tokenizer = true;
  Bytes smallest = {}, mapped = {};
  residency::Machine machine = {};  ///< a disk speed of 0 is not known
  residency::ResidencyPlan plan = {};
  std::vector<residency::PlanPart> parts = {};
  std::vector<residency::ResidencyPlan> table = {};
  std::optional<PlannedDownload> download = {};  ///< of a model that is on the hub
};

/// Whether a plan's tokens per second mean anything.
bool has_speed(const residency::ResidencyPlan& plan, const residency::Machine& machine);

/// Tokens per second; null where the disk counts and its speed is not known.
nlohmann::json to_json(const PlanReport& report);

/// What a plan is for: this machine, or one of which some is given.
struct PlannedMachine {
  std::string ram = "auto";  ///< "3GB", or what the system can spare
  std::optional<Bytes> sim_ram;
  std::optional<double> sim_disk, sim_bandwidth;  ///< bytes per second
};

/// Plans for a model as the user names it: from its files, or from what they begin with on the hub.
/// Throws as make_plan(), and Error(bad_request, io) where it is neither here nor on the hub.
PlanReport plan_of(const std::string& model, const EngineOptions& options,
                   const PlannedMachine& machine);

/// Plans for the model in `path`, of whose files the headers are enough. `model` is how the user calls it.
/// Throws Error(over_budget) with the sum where the machine has too little memory, and as Engine::open.
PlanReport make_plan(const std::string& model, const std::filesystem::path& path,
                     const EngineOptions& options, const PlannedMachine& machine);

/// The same for a model that is on a hub, whose files take `bytes`. Errors name the model, not the temporary
/// files, which are gone as soon as they were read.
PlanReport make_plan(const std::string& model, HubHeaders headers, Bytes bytes,
                     const EngineOptions& options, const PlannedMachine& machine);

}  // namespace sluice::engine
