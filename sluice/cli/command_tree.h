#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace sluice::cli {

/// One option or positional argument as the completion scripts and the manual page need it.
struct OptionView {
  std::vector<std::string> names;  ///< with dashes, short ones first; for a positional its one name
  std::string value;               ///< what it takes, "FILE"; "" for a flag
  std::vector<std::string> choices;  ///< the only words it takes (CLI::IsMember), if so restricted
  std::string description;
  std::string default_value;
  bool positional = false;
  bool required = false;
  bool repeats = false;
};

struct CommandView {
  std::string name;
  std::string description;
  std::vector<std::string> examples;  ///< lines; "# " starts a remark
  std::vector<OptionView> options;    ///< positionals first
};

OptionView view_option(const CLI::Option& option);

/// The program itself (name "sluice") followed by its commands, as CLI11 knows them.
std::vector<CommandView> command_tree(const CLI::App& app);

}  // namespace sluice::cli
