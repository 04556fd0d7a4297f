#include "sluice/cli/command_tree.h"

#include <algorithm>
#include <sstream>

namespace sluice::cli {
namespace {

/// CLI11 writes "TEXT", or "TEXT:{bash,zsh}" when a validator restricts the value.
void read_type_name(const std::string& type_name, OptionView& view) {
  view.value = type_name.substr(0, type_name.find(':'));
  const size_t open = type_name.find('{');
  if (open == type_name.npos || type_name.back() != '}') return;
  std::istringstream choices(type_name.substr(open + 1, type_name.size() - open - 2));
  for (std::string word; std::getline(choices, word, ',');) view.choices.push_back(word);
}

}  // namespace

OptionView view_option(const CLI::Option& option) {
  OptionView view;
  view.positional = option.get_positional() && !option.nonpositional();
  if (view.positional) {
    view.names.push_back(option.get_name(true));
  } else {
    for (const std::string& name : option.get_snames()) view.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) view.names.push_back("--" + name);
  }
  if (option.get_items_expected_max() > 0) read_type_name(option.get_type_name(), view);
  view.description = option.get_description();
  view.default_value = option.get_default_str();
  view.required = option.get_required();
  view.repeats = option.get_items_expected_max() > 1;
  return view;
}

namespace {

std::vector<const CLI::App*> commands_below(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* below) { return !below->get_group().empty(); });
}

/// A command that has commands of its own is shown as one that takes their names, and all their options.
void add_options_below(const CLI::App& app, CommandView& view) {
  OptionView names{.names = {"COMMAND"},
                   .value = "",
                   .choices = {},
                   .description = "What to do",
                   .default_value = "",
                   .positional = true,
                   .required = true};
  for (const CLI::App* below : commands_below(app)) {
    names.choices.push_back(below->get_name());
    for (const CLI::Option* option : below->get_options()) {
      OptionView of = view_option(*option);
      if (of.positional) of.required = false;
      if (std::ranges::find(view.options, of.names, &OptionView::names) == view.options.end())
        view.options.push_back(std::move(of));
    }
  }
  if (!names.choices.empty()) view.options.insert(view.options.begin(), std::move(names));
}

CommandView view_command(const CLI::App& app) {
  CommandView view{app.get_name(), app.get_description(), {}, {}};
  std::istringstream footer(app.get_footer());
  for (std::string line; std::getline(footer, line);) view.examples.push_back(line);
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) view.options.push_back(view_option(*option));
  }
  if (app.get_parent() != nullptr) add_options_below(app, view);
  std::stable_partition(view.options.begin(), view.options.end(),
                        [](const OptionView& option) { return option.positional; });
  return view;
}

}  // namespace

std::vector<CommandView> command_tree(const CLI::App& app) {
  std::vector<CommandView> tree{view_command(app)};
  for (const CLI::App* command : commands_below(app)) tree.push_back(view_command(*command));
  return tree;
}

}  // namespace sluice::cli
