#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/output.h"
#include "sluice/cli/plan_text.h"
#include "sluice/cli/terminal.h"
#include "sluice/engine/hub/hub.h"
#include "sluice/engine/plan_report.h"

namespace sluice::cli {
namespace {

struct PullCommandOptions {
  std::string name;
  std::string revision = "main";
  int parallel = 4;
  int tries = 5;
  int stall = 30;
};

engine::PullResult pull_shown(const engine::ModelStore& store, const PullCommandOptions& options,
                              const Globals& globals) {
  engine::PullOptions pull_options = engine::PullOptions::from_environment();
  pull_options.revision = options.revision;
  pull_options.parallel = options.parallel;
  pull_options.tries = options.tries;
  pull_options.stall = std::chrono::seconds(options.stall);
  ProgressDisplay display(globals.quiet);  // gone from the screen when this returns
  engine::PullCallbacks callbacks;
  callbacks.progress = [&](const engine::PullProgress& progress) {
    std::vector<TransferFile> files;
    for (const auto& file : progress.files) files.push_back({file.name, file.bytes, file.done});
    display.update(files);
  };
  callbacks.preview = [&](engine::HubHeaders headers, Bytes bytes) {
    const engine::PlanReport report =
        engine::make_plan(options.name, std::move(headers), bytes, {}, {});
    if (!globals.quiet) display.above(to_line(report));
    if (!report.has_tokenizer)
      display.above(
          "sluice: warning: it comes without a tokenizer.json: it will take token ids only");
  };
  callbacks.no_preview = [&](const Error& error) {
    const bool known = error.kind() != ErrorKind::io && error.kind() != ErrorKind::internal;
    display.above(
        fmt::format("sluice: warning: {}: {}",
                    known ? "it will not run here" : "whether it runs here cannot be told",
                    printable(error.what())));
  };
  return engine::pull(store, options.name, pull_options, callbacks);
}

void pull(const PullCommandOptions& options, const Globals& globals) {
  const engine::PullResult result = pull_shown(engine::ModelStore(), options, globals);
  if (globals.json) {
    print_json({{"name", result.name},
                {"path", result.path.string()},
                {"commit", result.commit},
                {"files", result.n_files},
                {"bytes", result.bytes.count},
                {"bytes_downloaded", result.downloaded.count}});
  } else if (result.downloaded.count == 0) {
    print(fmt::format("{} is up to date ({})\n", printable(result.name), to_string(result.bytes)));
  } else {
    print(fmt::format("{} is here: {} in {}\n", printable(result.name), to_string(result.bytes),
                      printable(result.path.string())));
  }
}

}  // namespace

void add_pull(CLI::App& app, Globals& globals) {
  CLI::App& command =
      add_command(app, "pull", "Download a model from the hub, or go on where that was interrupted",
                  "sluice pull org/name\n"
                  "# one quantization of a GGUF repository, by its tag or file name\n"
                  "sluice pull org/name:Q4_K_M\n"
                  "# from a mirror, with a login\n"
                  "HF_ENDPOINT=https://mirror.example HF_TOKEN=... sluice pull org/name");
  const auto options = std::make_shared<PullCommandOptions>();
  command
      .add_option("ID", options->name,
                  "org/name, with :QUANTIZATION or :FILE.gguf where there are several")
      ->required();
  command.add_option("--revision", options->revision, "Branch, tag or commit")
      ->capture_default_str();
  command.add_option("--parallel", options->parallel, "Files at a time")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
  add_retry_options(command, options->tries, options->stall);
  add_quiet_flag(command, globals);
  add_json_flag(command, globals);
  command.callback([options, &globals] { pull(*options, globals); });
}

}  // namespace sluice::cli
