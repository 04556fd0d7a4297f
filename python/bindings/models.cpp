#include "python/bindings/models.h"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <nlohmann/json.hpp>

#include "sluice/cli/plan_report.h"
#include "sluice/engine/hub/hub.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::python {
namespace {

namespace nb = nanobind;

/// As JSON. Sizes and speeds as the command takes them; "auto" and nullopt: this machine's.
std::string plan(const std::string& model, const engine::EngineOptions& options,
                 const std::string& ram, std::optional<uint64_t> sim_ram,
                 std::optional<double> sim_disk, std::optional<double> sim_bandwidth) {
  const nb::gil_scoped_release no_gil;
  cli::PlannedMachine machine;
  machine.ram = ram;
  machine.sim_disk = sim_disk;
  machine.sim_bandwidth = sim_bandwidth;
  if (sim_ram) machine.sim_ram = Bytes{*sim_ram};
  return to_json(cli::plan_of(model, options, machine)).dump();
}

/// progress: (bytes that are here, bytes of all files), or None. What it throws, as Ctrl-C does, breaks the download
/// off, which the next one takes up.
std::filesystem::path pull(const std::string& name, const std::string& revision,
                           const nb::object& progress) {
  engine::PullOptions options = engine::PullOptions::from_environment();
  options.revision = revision;
  engine::PullCallbacks callbacks;
  callbacks.progress = [&](const engine::PullProgress& state) {
    uint64_t done = 0, all = 0;
    for (const auto& file : state.files) {
      done += file.done.count;
      all += file.bytes.count;
    }
    const nb::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (!progress.is_none()) progress(done, all);
  };
  const nb::gil_scoped_release no_gil;
  return engine::pull(engine::ModelStore(), name, options, callbacks).path;
}

}  // namespace

void bind_models(nb::module_& module) {
  module.def("plan", &plan, nb::arg("model"), nb::arg("options"), nb::arg("ram"),
             nb::arg("sim_ram").none(), nb::arg("sim_disk").none(),
             nb::arg("sim_bandwidth").none());
  module.def("pull", &pull, nb::arg("name"), nb::arg("revision"), nb::arg("progress").none());
  module.def("lacks", [](const std::string& model) { return engine::ModelStore().lacks(model); });
  module.def("resolve",
             [](const std::string& model) { return engine::ModelStore().resolve(model); });
}

}  // namespace sluice::python
