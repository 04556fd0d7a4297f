#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "sluice/base/error.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/plan_text.h"

namespace sluice::cli {
namespace {

struct PlanOptions {
  ModelOptions model;
  engine::PlannedMachine machine;
};

void plan(const PlanOptions& o, const Globals& globals) {
  const engine::PlanReport report = engine::plan_of(o.model.model, o.model.engine, o.machine);
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
      add_command(app, "plan",
                  "Show how a model would run within a memory budget, also before it is downloaded",
                  "sluice plan my-model\n"
                  "# of a model on the hub its files' headers are read, not its weights\n"
                  "sluice plan org/name\n"
                  "sluice plan model.gguf --ram 8GB --ctx 16384\n"
                  "# on a machine that is not here:\n"
                  "sluice plan my-model --sim-ram 48GB --sim-disk 5GB/s --sim-bandwidth 400GB/s\n"
                  "sluice plan my-model --json | jq .smallest_budget");
  const auto o = std::make_shared<PlanOptions>();
  add_model_argument(command, o->model.model);
  command
      .add_option("--ram", o->machine.ram,
                  "Memory for the whole process, as 3GB or 700MB, or auto: what the system can "
                  "spare (default: auto)")
      ->type_name("SIZE");
  add_spill_options(command, o->model);
  add_context_option(command, o->model);
  add_step_options(command, o->model);
  add_snap_kv_option(command, o->model);
  command
      .add_option_function<std::string>(
          "--sim-ram",
          [o = o.get()](const std::string& size) { o->machine.sim_ram = parse_bytes(size); },
          "Memory that is installed and free, for --ram auto")
      ->type_name("SIZE")
      ->group("Another machine than this one");
  add_speed(command, "--sim-disk", o->machine.sim_disk, "How fast the disk is read, as 5GB/s");
  add_speed(command, "--sim-bandwidth", o->machine.sim_bandwidth,
            "How fast memory is read, as 400GB/s");
  add_json_flag(command, globals);
  command.callback([o, &globals] { plan(*o, globals); });
}

}  // namespace sluice::cli
