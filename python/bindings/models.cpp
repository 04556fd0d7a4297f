#include "python/bindings/models.h"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <nlohmann/json.hpp>
#include <tuple>

#include "sluice/engine/hub/hub.h"
#include "sluice/engine/hub/model_store.h"
#include "sluice/engine/hub/upload.h"
#include "sluice/engine/plan_report.h"

namespace sluice::python {
namespace {

namespace nb = nanobind;

/// As JSON. Sizes and speeds as the command takes them; "auto" and nullopt: this machine's.
std::string plan(const std::string& model, const engine::EngineOptions& options,
                 const std::string& ram, std::optional<uint64_t> sim_ram,
                 std::optional<double> sim_disk, std::optional<double> sim_bandwidth) {
  const nb::gil_scoped_release no_gil;
  engine::PlannedMachine machine;
  machine.ram = ram;
  machine.sim_disk = sim_disk;
  machine.sim_bandwidth = sim_bandwidth;
  if (sim_ram) machine.sim_ram = Bytes{*sim_ram};
  return to_json(engine::plan_of(model, options, machine)).dump();
}

/// Of all files together. What `progress` throws, as Ctrl-C does, comes out here.
void tell(const nb::object& progress, const engine::PullProgress& state) {
  uint64_t done = 0, all = 0;
  for (const auto& file : state.files) {
    done += file.done.count;
    all += file.bytes.count;
  }
  const nb::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
  if (!progress.is_none()) progress(done, all);
}

/// progress: (bytes that are here, bytes of all files), or None. What it throws, as Ctrl-C does, breaks the download
/// off, which the next one takes up.
std::filesystem::path pull(const std::string& name, const std::string& revision,
                           const nb::object& progress) {
  engine::PullOptions options = engine::PullOptions::from_environment();
  options.revision = revision;
  engine::PullCallbacks callbacks;
  callbacks.progress = [&](const engine::PullProgress& state) { tell(progress, state); };
  const nb::gil_scoped_release no_gil;
  return engine::pull(engine::ModelStore(), name, options, callbacks).path;
}

/// (url, commit, bytes of all files, bytes that were sent to the store). progress as pull's.
std::tuple<std::string, std::string, uint64_t, uint64_t> upload(
    const std::string& model, const std::string& id, bool is_private, const std::string& revision,
    const std::string& message, const nb::object& progress) {
  engine::UploadOptions options{
      .hub = engine::PullOptions::from_environment(), .is_private = is_private, .message = message};
  options.hub.revision = revision;
  const auto show = [&](const engine::PullProgress& state) { tell(progress, state); };
  const nb::gil_scoped_release no_gil;
  const auto done = engine::upload(engine::ModelStore().resolve(model), id, options, show);
  return {done.url, done.commit, done.bytes.count, done.sent.count};
}

}  // namespace

void bind_models(nb::module_& module) {
  module.def("plan", &plan, nb::arg("model"), nb::arg("options"), nb::arg("ram"),
             nb::arg("sim_ram").none(), nb::arg("sim_disk").none(),
             nb::arg("sim_bandwidth").none());
  module.def("pull", &pull, nb::arg("name"), nb::arg("revision"), nb::arg("progress").none());
  module.def("upload", &upload, nb::arg("model"), nb::arg("id"), nb::arg("is_private"),
             nb::arg("revision"), nb::arg("message"), nb::arg("progress").none());
  module.def("lacks", [](const std::string& model) { return engine::ModelStore().lacks(model); });
  module.def("resolve",
             [](const std::string& model) { return engine::ModelStore().resolve(model); });
}

}  // namespace sluice::python
