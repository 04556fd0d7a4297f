#include "sluice/cli/commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <sstream>

#include "sluice/cli/command_tree.h"

namespace sluice::cli {
namespace {

using AddCommand = void (*)(CLI::App&, Globals&);

constexpr AddCommand kCommands[] = {
    add_run,        add_chat,     add_serve,    add_embed,   add_plan, add_bench,      add_logits,
    add_perplexity, add_tokenize, add_template, add_inspect, add_pull, add_list,       add_rm,
    add_cache,      add_upload,   add_convert,  add_imatrix, add_kl,   add_completion, add_man,
};

/// Help as one reads it: "--load map|copy", and no more blank lines than one. An app's footer, which holds
/// its examples, is shown as it was written: newer CLI11 would reflow it.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override {
    std::string help = CLI::Formatter::make_help(app, std::move(name), mode);
    for (size_t at = help.find("\n\n\n"); at != help.npos; at = help.find("\n\n\n", at))
      help.erase(at, 1);
    return help;
  }
  std::string make_description(const CLI::App* app) const override {
    return app->get_description() + "\n\n";
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    const OptionView view = view_option(*option);
    if (view.positional || view.value.empty()) return "";
    return fmt::format(
        " {}{}",
        view.choices.empty() ? view.value : fmt::format("{}", fmt::join(view.choices, "|")),
        view.repeats ? " ..." : "");
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    const bool noted = option->get_required() && !option->get_positional();
    return option->get_description() + (noted ? " (required)" : "");
  }
  std::string make_footer(const CLI::App* app) const override {
    std::istringstream lines(app->get_footer());
    std::string footer, line;
    while (std::getline(lines, line)) footer += "  " + line + "\n";
    return footer.empty() ? "" : "\nExamples:\n" + footer;
  }
};

}  // namespace

void add_commands(CLI::App& app, Globals& globals) {
  app.name("sluice");
  app.description("Runs language models, also those larger than memory.");
  app.formatter(std::make_shared<HelpFormatter>());  // commands added below inherit it
  app.get_formatter()->column_width(34);
  app.set_version_flag("--version", std::string("sluice ") + SLUICE_VERSION,
                       "Print the version and exit");
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.require_subcommand(1);
  for (const AddCommand add : kCommands) add(app, globals);
}

CLI::App& add_command(CLI::App& app, const std::string& name, const std::string& description,
                      const std::string& examples) {
  CLI::App& command = *app.add_subcommand(name, description);
  command.footer(examples);
  return command;
}

void add_json_flag(CLI::App& command, Globals& globals) {
  command.add_flag("--json", globals.json, "Print one JSON object on stdout, nothing else there");
}

void add_quiet_flag(CLI::App& command, Globals& globals) {
  command.add_flag("-q,--quiet", globals.quiet, "No progress on stderr");
}

void add_retry_options(CLI::App& command, int& tries, int& stall) {
  command.add_option("--tries", tries, "Tries in a row without progress")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command
      .add_option("--stall", stall, "Seconds without progress after which a connection is given up")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
}

}  // namespace sluice::cli
