#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "sluice/base/printable.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/output.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::cli {
namespace {

using engine::ModelStore;
using engine::StoredModel;

nlohmann::json to_json(const StoredModel& model) {
  return {{"name", model.name},
          {"path", model.path.string()},
          {"bytes", model.bytes.count},
          {"format", to_string(model.format)},
          {"quantization", model.quantization},
          {"modified", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(model.modified))},
          {"complete", model.complete}};
}

void print_table(const ModelStore& store, const std::vector<StoredModel>& models) {
  if (models.empty()) {
    warn(fmt::format("no models in {} yet; `sluice pull org/name` gets one",
                     store.models().string()));
    return;
  }
  size_t width = 4;
  for (const StoredModel& model : models) width = std::max(width, model.name.size());
  std::string table = fmt::format("{:{}}  {:>8}  {:11}  {:12}  {}\n", "NAME", width, "SIZE",
                                  "FORMAT", "QUANTIZATION", "MODIFIED");
  for (const StoredModel& model : models) {
    table += fmt::format("{:{}}  {:>8}  {:11}  {:12}  {:%Y-%m-%d %H:%M}{}\n", printable(model.name),
                         width, to_string(model.bytes), to_string(model.format),
                         printable(model.quantization), fmt::localtime(model.modified),
                         model.complete ? "" : "  incomplete: `sluice pull` gets the rest");
  }
  print(table);
}

void list(bool names_only, const Globals& globals) {
  const ModelStore store;
  const std::vector<StoredModel> models = store.list();
  if (names_only) {
    for (const StoredModel& model : models) {
      if (model.complete) print(model.name + "\n");  // names are of a plain character set
    }
  } else if (globals.json) {
    nlohmann::json array = nlohmann::json::array();
    for (const StoredModel& model : models) array.push_back(to_json(model));
    print_json({{"root", store.root().string()}, {"models", std::move(array)}});
  } else {
    print_table(store, models);
  }
}

}  // namespace

void add_list(CLI::App& app, Globals& globals) {
  CLI::App& command = add_command(app, "list", "List the models on this machine",
                                  "sluice list\nsluice list --json | jq '.models[].name'");
  const auto names_only = std::make_shared<bool>(false);
  add_json_flag(command, globals);
  command.add_flag("--names", *names_only, "Only the names of complete models, one a line")
      ->excludes("--json");
  command.callback([names_only, &globals] { list(*names_only, globals); });
}

}  // namespace sluice::cli
