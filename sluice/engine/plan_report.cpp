#include "sluice/engine/plan_report.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "sluice/base/error.h"
#include "sluice/engine/hub/hub.h"
#include "sluice/engine/hub/hub_repository.h"
#include "sluice/engine/hub/model_store.h"
#include "sluice/engine/probe.h"
#include "sluice/engine/residency_json.h"
#include "sluice/ops/sequence_kv.h"
#include "sluice/residency/machine/memory.h"

namespace sluice::engine {
namespace {

namespace fs = std::filesystem;

constexpr int kRows = 7;  // of the table over budgets

Bytes choose_budget(const PlannedMachine& m) {
  if (m.ram != "auto") {
    const Bytes budget = parse_bytes(m.ram);
    if (m.sim_ram && budget > *m.sim_ram) {
      fail(ErrorKind::bad_request, "--ram {} is more than --sim-ram {}", to_string(budget),
           to_string(*m.sim_ram));
    }
    return budget;
  }
  const residency::MemoryState here = m.sim_ram
                                          ? residency::MemoryState{*m.sim_ram, *m.sim_ram, {}, {}}
                                          : residency::memory_state();
  return residency::automatic_budget(here);
}

/// The machine as it is simulated or as it is. A disk speed of 0: it cannot be told.
residency::Machine choose_machine(const PlannedMachine& m, int n_threads,
                                  const fs::path& disk_file) {
  residency::Machine machine;
  machine.memory_bandwidth = m.sim_bandwidth ? *m.sim_bandwidth : probe_memory_bandwidth(n_threads);
  machine.disk_bandwidth =
      m.sim_disk ? *m.sim_disk : disk_bandwidth(disk_file, ModelStore::default_root());
  return machine;
}

/// The largest file that is in the store, whose disk is the one a pull would write to. Empty where nothing is.
fs::path largest_stored_file(const ModelStore& store) {
  fs::path largest;
  if (store.root().empty()) return largest;
  std::uintmax_t most = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(store.models(), error), end; !error && at != end;
       at.increment(error)) {
    std::error_code unreadable;
    if (!at->is_regular_file(unreadable)) continue;
    const std::uintmax_t bytes = at->file_size(unreadable);
    if (unreadable || bytes <= most) continue;
    most = bytes;
    largest = at->path();
  }
  return largest;
}

std::unique_ptr<Engine> open_headers(const fs::path& path, EngineOptions options) {
  options.load.mode = residency::LoadMode::headers;
  options.keep_prefixes = false;  // as run and bench
  return Engine::open(path, options);
}

/// `disk_file` lies on the disk whose speed counts; "": there is none.
PlanReport report_of(const std::string& model, const Engine& engine, Bytes budget,
                     const PlannedMachine& machine, const fs::path& disk_file) {
  const residency::Footprint footprint = engine.footprint_within(budget);
  PlanReport report{.model = model,
                    .config = engine.config(),
                    .file_bytes = engine.file_bytes(),
                    .bytes_active = engine.bytes_active(),
                    .context = engine.context(),
                    .snap_kv = engine.options().snap_kv,
                    .simulated = machine.sim_ram || machine.sim_disk || machine.sim_bandwidth};
  report.kept_tokens = engine.kept_tokens(footprint, budget);
  report.spilled = {footprint.kv_per_token.count *
                    static_cast<uint64_t>(report.context - report.kept_tokens)};
  const int64_t least_kept = engine.kept_tokens(footprint, {});
  report.smallest = residency::smallest_budget(footprint, least_kept);
  report.mapped = residency::mapped_budget(footprint, least_kept);
  report.has_tokenizer = engine.has_tokenizer();
  const auto reuse = residency::trained_reuse();
  // Refused before anything is measured.
  (void)residency::plan_residency(footprint, budget, report.kept_tokens, {}, reuse);
  report.machine = choose_machine(machine, engine.options().n_threads, disk_file);
  report.plan =
      residency::plan_residency(footprint, budget, report.kept_tokens, report.machine, reuse);
  report.parts = residency::parts_of(footprint, report.plan);
  report.table = residency::plan_table(footprint, least_kept, kRows, report.machine, reuse);
  return report;
}

nlohmann::json speeds(const residency::ResidencyPlan& plan, const residency::Machine& machine) {
  const bool known = has_speed(plan, machine);
  return {{"bytes_read_per_token", plan.disk_bytes_per_token.count},
          {"memory_bytes_per_token", plan.memory_bytes_per_token.count},
          {"hit_rate", plan.hit_rate},
          {"bound_tps", known ? nlohmann::json(plan.bound_tps) : nullptr},
          {"expected_tps", known ? nlohmann::json(plan.expected_tps) : nullptr}};
}

}  // namespace

bool has_speed(const residency::ResidencyPlan& plan, const residency::Machine& machine) {
  return plan.disk_bytes_per_token.count == 0 || machine.disk_bandwidth > 0;
}

nlohmann::json to_json(const PlanReport& r) {
  nlohmann::json parts = nlohmann::json::array(), table = nlohmann::json::array();
  for (const residency::PlanPart& part : r.parts) {
    parts.push_back({{"name", part.name},
                     {"placement", part.placement},
                     {"bytes", part.bytes.count},
                     {"memory_bytes", part.memory.count},
                     {"bytes_read_per_token", part.disk_per_token.count}});
  }
  for (const residency::ResidencyPlan& row : r.table) {
    nlohmann::json entry = residency_json(row, r.context);
    entry.update(speeds(row, r.machine));
    table.push_back(std::move(entry));
  }
  const auto known = [](double speed) { return speed > 0 ? nlohmann::json(speed) : nullptr; };
  nlohmann::json json{
      {"model", r.model},
      {"architecture", r.config.architecture},
      {"file_bytes", r.file_bytes.count},
      {"bytes_active", r.bytes_active.count},
      {"simulated", r.simulated},
      {"kv_bits", kv_bits_json(r.config.kv)},
      {"state_bits", 8 * ops::element_bytes(r.config.kv.state_type)},
      {"max_kv_size",
       r.config.kv.max_size > 0 ? nlohmann::json(r.config.kv.max_size) : nlohmann::json(nullptr)},
      {"snap_kv", r.snap_kv > 0 ? nlohmann::json(r.snap_kv) : nlohmann::json(nullptr)},
      {"kept_tokens", r.kept_tokens},
      {"spilled_bytes", r.spilled.count},
      {"memory_bandwidth", known(r.machine.memory_bandwidth)},
      {"disk_bandwidth", known(r.machine.disk_bandwidth)},
      {"smallest_budget", r.smallest.count},
      {"mapped_budget", r.mapped.count},
      {"residency", residency_json(r.plan, r.context)},
      {"parts", std::move(parts)},
      {"table", std::move(table)}};
  json.update(speeds(r.plan, r.machine));
  if (r.download) {
    json["download_bytes"] = r.download->bytes.count;
    json["download_room"] =
        r.download->room ? nlohmann::json(r.download->room->count) : nlohmann::json(nullptr);
  }
  return json;
}

PlanReport plan_of(const std::string& model, const EngineOptions& options,
                   const PlannedMachine& machine) {
  const ModelStore store;
  if (!store.lacks(model)) return make_plan(model, store.resolve(model), options, machine);
  const auto pull = PullOptions::from_environment();
  std::optional<HubRepository> hub;
  try {
    hub.emplace(model, pull);
  } catch (const Error& error) {
    fail(error.kind(), "no model '{}' is here, and of the hub: {}", model, error.what());
  }
  return make_plan(model, fetch_headers(*hub, pull), hub->bytes(), options, machine);
}

PlanReport make_plan(const std::string& model, const fs::path& path, const EngineOptions& options,
                     const PlannedMachine& machine) {
  const Bytes budget = choose_budget(machine);
  const auto engine = open_headers(path, options);
  return report_of(model, *engine, budget, machine, engine->largest_file());
}

PlanReport make_plan(const std::string& model, HubHeaders headers, Bytes bytes,
                     const EngineOptions& options, const PlannedMachine& machine) {
  const Bytes budget = choose_budget(machine);
  const ModelStore store;
  const fs::path directory = headers.directory.path();
  try {
    const auto engine = open_headers(headers.model, options);
    headers.directory.remove();
    PlanReport report = report_of(model, *engine, budget, machine, largest_stored_file(store));
    report.download = PlannedDownload{
        .bytes = bytes, .room = store.root().empty() ? std::nullopt : room_for_models(store)};
    return report;
  } catch (const Error& error) {
    throw Error(error.kind(), without_path(error.what(), model, directory));
  }
}

}  // namespace sluice::engine
