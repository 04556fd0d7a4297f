// Shell completion, generated from the same CLI11 tree that parses the command line.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

#include "sluice/cli/command_tree.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/output.h"

namespace sluice::cli {
namespace {

using Tree = std::vector<CommandView>;

/// What a shell offers for a value. A value is named MODEL, FILE or DIR where it is one.
enum class Offer { nothing, choices, models, files };

Offer offer(const OptionView& option) {
  const std::string& what = option.positional ? option.names[0] : option.value;
  if (!option.choices.empty()) return Offer::choices;
  if (what == "MODEL" || what == "NAME") return Offer::models;
  return what == "FILE" || what == "DIR" ? Offer::files : Offer::nothing;
}

std::string join(const std::vector<std::string>& words, std::string_view between = " ") {
  return fmt::format("{}", fmt::join(words, between));
}

std::string replace_each(std::string_view text, std::string_view wanted, auto replacement) {
  std::string out;
  for (const char c : text) {
    if (wanted.find(c) == wanted.npos) {
      out += c;
    } else {
      out += replacement(c);
    }
  }
  return out;
}

/// 'text' for bash and zsh.
std::string quote(std::string_view text) {
  return "'" + replace_each(text, "'", [](char) { return std::string("'\\''"); }) + "'";
}

std::string backslash(std::string_view text, std::string_view characters) {
  return replace_each(text, characters, [](char c) { return std::string{'\\', c}; });
}

// --- bash

std::string bash_offer(const OptionView& option) {
  switch (offer(option)) {
    case Offer::choices:
      return fmt::format("words={}", quote(join(option.choices)));
    case Offer::models:
      return "words=$(sluice list --names 2>/dev/null); files=1";
    case Offer::files:
      return "files=1";
    case Offer::nothing:
      break;
  }
  return ":";
}

std::string bash_command(const CommandView& command) {
  std::vector<std::string> flags;
  std::string values, positional = ":";
  for (const OptionView& option : command.options) {
    if (option.positional) {
      if (positional == ":") positional = bash_offer(option);
      continue;
    }
    flags.insert(flags.end(), option.names.begin(), option.names.end());
    if (option.value.empty()) continue;
    values += fmt::format("        {}) {};;\n", join(option.names, "|"), bash_offer(option));
  }
  return fmt::format(
      "    {})\n      case $previous in\n{}        *) {}; flags={};;\n      esac;;\n", command.name,
      values, positional, quote(join(flags)));
}

std::string bash(const Tree& tree) {
  std::vector<std::string> first;
  std::string commands;
  for (size_t i = 1; i < tree.size(); ++i) {
    first.push_back(tree[i].name);
    commands += bash_command(tree[i]);
  }
  for (const OptionView& option : tree[0].options) {
    first.insert(first.end(), option.names.begin(), option.names.end());
  }
  // Words are cut at blanks here, not by bash, which would also cut at the colon of a model's name.
  return fmt::format(R"bash(# sluice completion for bash
_sluice() {{
  local line=${{COMP_LINE:0:COMP_POINT}} current previous words= flags= files= word
  local -a typed
  read -ra typed <<<"${{line}}."
  current=${{typed[-1]%.}}
  previous=${{typed[-2]}}
  COMPREPLY=()
  if (( ${{#typed[@]}} == 2 )); then
    words={}
  else
    case ${{typed[1]}} in
{}    esac
    [[ $current == -* ]] && words=$flags files=
  fi
  local cut=
  [[ $COMP_WORDBREAKS == *:* && $current == *:* ]] && cut=${{current%"${{current##*:}}"}}
  while read -r word; do
    [[ -n $word ]] && COMPREPLY+=("${{word#"$cut"}}")
  done < <(compgen -W "$words" -- "$current"; [[ -n $files ]] && compgen -f -- "$current")
}}
complete -o filenames -F _sluice sluice
)bash",
                     quote(join(first)), commands);
}

// --- zsh

/// The ":message:action" part of an _arguments specification.
std::string zsh_value(const OptionView& option) {
  const std::string what = option.positional ? option.names[0] : option.value;
  switch (offer(option)) {
    case Offer::choices:
      return fmt::format(":{}:({})", what, join(option.choices));
    case Offer::models:
      return fmt::format(":{}:_sluice_models", what);
    case Offer::files:
      return fmt::format(":{}:_files", what);
    case Offer::nothing:
      break;
  }
  return what.empty() ? "" : fmt::format(":{}: ", what);
}

std::string zsh_arguments(const CommandView& command) {
  std::string arguments;
  for (const OptionView& option : command.options) {
    if (option.positional) {
      arguments += " \\\n        " + quote((option.repeats ? "*" : "") + zsh_value(option));
      continue;
    }
    for (const std::string& name : option.names) {
      arguments +=
          fmt::format(" \\\n        {}",
                      quote(fmt::format("{}[{}]{}", name, backslash(option.description, "[]\\:"),
                                        option.value.empty() ? "" : zsh_value(option))));
    }
  }
  return arguments;
}

std::string zsh(const Tree& tree) {
  std::string names, commands;
  for (size_t i = 1; i < tree.size(); ++i) {
    names +=
        fmt::format("    {}\n", quote(fmt::format("{}:{}", tree[i].name, tree[i].description)));
    commands += fmt::format("      {}) _arguments{};;\n", tree[i].name, zsh_arguments(tree[i]));
  }
  return fmt::format(R"zsh(#compdef sluice
# sluice completion for zsh
_sluice_models() {{
  local -a names
  names=(${{(f)"$(sluice list --names 2>/dev/null)"}})
  compadd -- $names
  _files
}}
_sluice_commands() {{
  local -a commands
  commands=(
{}  )
  _describe command commands
}}
_sluice() {{
  local state
  _arguments -C{} \
        '1:command:_sluice_commands' '*::argument:->argument'
  if [[ $state == argument ]]; then
    case $words[1] in
{}    esac
  fi
}}
if [[ $funcstack[1] == _sluice ]]; then _sluice "$@"; else compdef _sluice sluice; fi
)zsh",
                     names, zsh_arguments(tree[0]), commands);
}

// --- fish

std::string fish_quote(std::string_view text) { return "'" + backslash(text, "'\\") + "'"; }

std::string fish_option(const std::string& condition, const OptionView& option) {
  std::string line = "complete -c sluice" + condition;
  if (!option.positional) {
    for (const std::string& name : option.names) {
      line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    }
    if (!option.value.empty()) line += " -r";
    line += " -d " + fish_quote(option.description);
  }
  switch (offer(option)) {
    case Offer::choices:
      return line + " -a " + fish_quote(join(option.choices)) + "\n";
    case Offer::models:
      return line + " -F -a '(sluice list --names 2>/dev/null)'\n";
    case Offer::files:
      return line + " -F\n";
    case Offer::nothing:
      break;
  }
  return option.positional ? "" : line + "\n";
}

std::string fish(const Tree& tree) {
  std::string script = "# sluice completion for fish\ncomplete -c sluice -f\n";
  for (const OptionView& option : tree[0].options) {
    script += fish_option(" -n __fish_use_subcommand", option);
  }
  for (size_t i = 1; i < tree.size(); ++i) {
    script += fmt::format("complete -c sluice -n __fish_use_subcommand -a {} -d {}\n", tree[i].name,
                          fish_quote(tree[i].description));
    const std::string condition = fmt::format(" -n '__fish_seen_subcommand_from {}'", tree[i].name);
    for (const OptionView& option : tree[i].options) script += fish_option(condition, option);
  }
  return script;
}

}  // namespace

void add_completion(CLI::App& app, Globals&) {
  CLI::App& command =
      add_command(app, "completion", "Print a completion script for a shell",
                  "sluice completion bash > ~/.local/share/bash-completion/completions/sluice\n"
                  "sluice completion zsh > ~/.zfunc/_sluice\n"
                  "sluice completion fish > ~/.config/fish/completions/sluice.fish");
  const auto shell = std::make_shared<std::string>();
  command.add_option("SHELL", *shell, "The shell")
      ->required()
      ->check(CLI::IsMember(std::vector<std::string>{"bash", "zsh", "fish"}));
  command.callback([&app, shell] {
    const Tree tree = command_tree(app);
    print(*shell == "bash" ? bash(tree) : *shell == "zsh" ? zsh(tree) : fish(tree));
  });
}

}  // namespace sluice::cli
