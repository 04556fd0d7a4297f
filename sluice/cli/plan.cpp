#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "sluice/base/error.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/plan_text.h"
#include "sluice/engine/hub/model_store.h"
#include "sluice/engine/probe.h"
#include "sluice/residency/machine/memory.h"

namespace sluice::cli {
namespace {

constexpr int kRows = 7;  // of the table over budgets

struct Options {
  ModelOptions model;
  std::string ram = "auto";
  std::optional<Bytes> sim_ram;
  std::optional<double> sim_disk, sim_bandwidth;
};

Bytes choose_budget(const Options& o) {
  if (o.ram != "auto") {
    const Bytes budget = parse_bytes(o.ram);
    if (o.sim_ram && budget > *o.sim_ram) {
      fail(ErrorKind::bad_request, "--ram {} is more than --sim-ram {}", to_string(budget),
           to_string(*o.sim_ram));
    }
    return budget;
  }
  const residency::MemoryState here = o.sim_ram
                                          ? residency::MemoryState{*o.sim_ram, *o.sim_ram, {}, {}}
                                          : residency::memory_state();
  return residency::automatic_budget(here);
}

/// The machine as it is simulated or as it is. A disk speed of 0: it cannot be told.
residency::Machine choose_machine(const Options& o, const std::filesystem::path& largest_file) {
  residency::Machine machine;
  machine.memory_bandwidth =
      o.sim_bandwidth ? *o.sim_bandwidth : engine::probe_memory_bandwidth(o.model.engine.n_threads);
  machine.disk_bandwidth =
      o.sim_disk ? *o.sim_disk
                 : engine::disk_bandwidth(largest_file, engine::ModelStore::default_root());
  return machine;
}

void plan(const Options& o, const Globals& globals) {
  ModelOptions model = o.model;
  model.engine.load.mode = residency::LoadMode::headers;
  model.engine.checkpoints = false;  // as run and bench
  const Bytes budget = choose_budget(o);
  const OpenModel engine(model);
  const residency::Footprint footprint = engine->footprint();

  PlanReport report{.model = o.model.model,
                    .config = engine->config(),
                    .file_bytes = engine->file_bytes(),
                    .bytes_active = engine->bytes_active(),
                    .context = engine->context(),
                    .simulated = o.sim_ram || o.sim_disk || o.sim_bandwidth};
  report.smallest = residency::smallest_budget(footprint, report.context);
  report.mapped = residency::mapped_budget(footprint, report.context);
  report.has_tokenizer = engine->has_tokenizer();
  const auto reuse = residency::trained_reuse();
  // Refused before anything is measured.
  (void)residency::plan_residency(footprint, budget, report.context, {}, reuse);
  report.machine = choose_machine(o, engine->largest_file());
  report.plan = residency::plan_residency(footprint, budget, report.context, report.machine, reuse);
  report.parts = residency::parts_of(footprint, report.plan);
  report.table = residency::plan_table(footprint, report.context, kRows, report.machine, reuse);
  if (globals.json) {
    print_json(to_json(report));
  } else {
    print(to_text(report, bar_style()));
  }
}

/// "5GB/s"; the "/s" may be left out.
double parse_speed(std::string_view text) {
  std::string_view size = text;
  if (size.ends_with("/s")) size.remove_suffix(2);
  uint64_t bytes = 0;
  try {
    bytes = parse_bytes(size).count;
  } catch (const Error&) {  // it speaks of sizes
  }
  if (bytes == 0) fail(ErrorKind::bad_request, "'{}' is not a speed: write it as 5GB/s", text);
  return static_cast<double>(bytes);
}

void add_speed(CLI::App& command, const std::string& name, std::optional<double>& speed,
               const std::string& help) {
  command
      .add_option_function<std::string>(
          name, [&speed](const std::string& text) { speed = parse_speed(text); }, help)
      ->type_name("SPEED")
      ->group("Another machine than this one");
}

}  // namespace

void add_plan(CLI::App& app, Globals& globals) {
  CLI::App& command =
      add_command(app, "plan", "Show how a model would run within a memory budget",
                  "sluice plan my-model\n"
                  "sluice plan model.gguf --ram 8GB --ctx 16384\n"
                  "# on a machine that is not here:\n"
                  "sluice plan my-model --sim-ram 48GB --sim-disk 5GB/s --sim-bandwidth 400GB/s\n"
                  "sluice plan my-model --json | jq .smallest_budget");
  const auto o = std::make_shared<Options>();
  add_model_argument(command, o->model.model);
  command
      .add_option("--ram", o->ram,
                  "Memory for the whole process, as 3GB or 700MB, or auto: what the system can "
                  "spare (default: auto)")
      ->type_name("SIZE");
  add_context_option(command, o->model);
  add_step_options(command, o->model);
  command
      .add_option_function<std::string>(
          "--sim-ram", [o = o.get()](const std::string& size) { o->sim_ram = parse_bytes(size); },
          "Memory that is installed and free, for --ram auto")
      ->type_name("SIZE")
      ->group("Another machine than this one");
  add_speed(command, "--sim-disk", o->sim_disk, "How fast the disk is read, as 5GB/s");
  add_speed(command, "--sim-bandwidth", o->sim_bandwidth, "How fast memory is read, as 400GB/s");
  add_json_flag(command, globals);
  command.callback([o, &globals] { plan(*o, globals); });
}

}  // namespace sluice::cli
