#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "sluice/base/printable.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/output.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::cli {
namespace {

void remove_models(const std::vector<std::string>& names, const Globals& globals) {
  const engine::ModelStore store;
  Bytes freed;
  for (const std::string& name : names) {
    const Bytes bytes = store.remove(name);
    freed = freed + bytes;
    if (!globals.json) print(fmt::format("removed {} ({})\n", printable(name), to_string(bytes)));
  }
  if (globals.json) print_json({{"removed", names}, {"bytes", freed.count}});
}

}  // namespace

void add_rm(CLI::App& app, Globals& globals) {
  CLI::App& command = add_command(app, "rm", "Delete models by the names that `sluice list` shows",
                                  "sluice rm org/name\nsluice rm org/name:Q4_K_M other/name");
  const auto names = std::make_shared<std::vector<std::string>>();
  command.add_option("NAME", *names, "A model's name")->required();
  add_json_flag(command, globals);
  command.callback([names, &globals] { remove_models(*names, globals); });
}

}  // namespace sluice::cli
