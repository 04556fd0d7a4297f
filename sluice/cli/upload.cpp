#include "sluice/engine/hub/upload.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "sluice/base/printable.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/terminal.h"

namespace sluice::cli {
namespace {

struct UploadCommand {
  std::string model, id, revision = "main";
  engine::UploadOptions options;
  int stall = 30, tries = 5;
};

void run_upload(const UploadCommand& c, const Globals& globals) {
  engine::UploadOptions options = c.options;
  options.hub = engine::PullOptions::from_environment();
  options.hub.revision = c.revision;
  options.hub.tries = c.tries;
  options.hub.stall = std::chrono::seconds(c.stall);
  engine::UploadResult result;
  {
    ProgressDisplay display(globals.quiet);  // gone from the screen at its end
    const auto show = [&](const engine::PullProgress& progress) {
      std::vector<TransferFile> files;
      for (const auto& file : progress.files) files.push_back({file.name, file.bytes, file.done});
      display.update(files);
    };
    result = engine::upload(engine::ModelStore().resolve(c.model), c.id, options, show);
  }
  if (globals.json) {
    print_json({{"id", c.id},
                {"url", result.url},
                {"commit", result.commit},
                {"files", result.n_files},
                {"bytes", result.bytes.count},
                {"bytes_sent", result.sent.count}});
    return;
  }
  print(fmt::format("{}: {} files, {}, of which {} were sent to the store\n", printable(result.url),
                    result.n_files, to_string(result.bytes), to_string(result.sent)));
}

}  // namespace

void add_upload(CLI::App& app, Globals& globals) {
  CLI::App& command =
      add_command(app, "upload", "Put a model on the hub, or go on where that was interrupted",
                  "sluice upload my-model-4bit org/my-model-4bit --private\n"
                  "# the token is HF_TOKEN, or what `hf auth login` left\n"
                  "HF_TOKEN=... sluice upload my-model.gguf org/my-model");
  const auto c = std::make_shared<UploadCommand>();
  add_model_argument(command, c->model);
  command.get_option("MODEL")->required();
  command.add_option("ID", c->id, "org/name; made where it is not there")->required();
  command.add_flag("--private", c->options.is_private, "A repository that is made is private");
  command.add_option("--revision", c->revision, "Branch")->capture_default_str();
  command.add_option("--message", c->options.message, "Of the commit")->capture_default_str();
  add_retry_options(command, c->tries, c->stall);
  add_quiet_flag(command, globals);
  add_json_flag(command, globals);
  command.callback([c, &globals] { run_upload(*c, globals); });
}

}  // namespace sluice::cli
