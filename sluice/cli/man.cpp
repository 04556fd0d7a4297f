// The manual page, generated from the same CLI11 tree that parses the command line.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sluice/cli/command_tree.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/output.h"

namespace sluice::cli {
namespace {

/// Text as roff shows it unchanged: a backslash is \e, a dash that is typed is \-, and a line
/// cannot start a request.
std::string roff(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else {
      escaped += c;
    }
  }
  if (!escaped.empty() && (escaped[0] == '.' || escaped[0] == '\'')) escaped.insert(0, "\\&");
  return escaped;
}

std::string synopsis(const CommandView& command) {
  std::string line = fmt::format(".B sluice {}\n", roff(command.name));
  for (const OptionView& option : command.options) {
    if (!option.positional) continue;
    const std::string name =
        fmt::format("\\fI{}\\fR{}", roff(option.names[0]), option.repeats ? " ..." : "");
    line += option.required ? name + "\n" : fmt::format("[{}]\n", name);
  }
  return line + "[options]\n";
}

std::string option_entry(const OptionView& option) {
  std::string entry = ".TP\n";
  if (option.positional) {
    entry += fmt::format("\\fI{}\\fR\n", roff(option.names[0]));
  } else {
    entry += fmt::format("\\fB{}\\fR", roff(fmt::format("{}", fmt::join(option.names, ", "))));
    if (!option.value.empty()) entry += fmt::format(" \\fI{}\\fR", roff(option.value));
    entry += '\n';
  }
  entry += roff(option.description);
  if (!option.choices.empty()) entry += roff(fmt::format(" ({})", fmt::join(option.choices, ", ")));
  if (!option.default_value.empty()) entry += roff(fmt::format(" [{}]", option.default_value));
  return entry + ".\n";
}

std::string examples(const CommandView& command) {
  std::string text;
  for (const std::string& line : command.examples) text += roff(line) + "\n";
  return text.empty() ? "" : ".PP\nExamples:\n.PP\n.nf\n.RS\n" + text + ".RE\n.fi\n";
}

constexpr std::string_view kTail = R"(.SH EXIT STATUS
.IP 0 4
done
.IP 1 4
failure while running: disk, network, internal
.IP 2 4
bad usage: an unknown option, a model that is not there
.IP 3 4
bad or unsupported model
.IP 4 4
over the memory budget
.IP "128 + N" 8
ended by signal N: 130 for Ctrl-C, 143 for SIGTERM
.SH ENVIRONMENT
.TP
.B SLUICE_HOME
Where models are kept, below models/. The default is $XDG_CACHE_HOME/sluice, else ~/.cache/sluice. A model's path needs none of them.
.TP
.B HF_ENDPOINT
The hub that pull and upload ask, in place of the usual one.
.TP
.B HF_TOKEN
Sent to the hub, and to no other host, for models that need a login, and to upload. Without it, what `hf auth login` left is taken.
.TP
.B NO_COLOR
When set, terminal output is without colour.
)";

std::string manual_page(const std::vector<CommandView>& tree) {
  const CommandView& program = tree[0];
  std::string page = fmt::format(
      ".TH SLUICE 1 \"\" \"sluice {}\" \"User Commands\"\n.SH NAME\nsluice \\- {}\n"
      ".SH SYNOPSIS\n.B sluice\n\\fICOMMAND\\fR [options]\n.SH DESCRIPTION\n{}\n.SH OPTIONS\n",
      SLUICE_VERSION, roff("runs language models, also those larger than memory"),
      roff(program.description));
  for (const OptionView& option : program.options) page += option_entry(option);
  page += ".SH COMMANDS\n";
  for (size_t i = 1; i < tree.size(); ++i) {
    page += fmt::format(".SS {}\n{}.PP\n{}\n", roff(tree[i].name), synopsis(tree[i]),
                        roff(tree[i].description));
    for (const OptionView& option : tree[i].options) page += option_entry(option);
    page += examples(tree[i]);
  }
  page += kTail;
  return page;
}

}  // namespace

void add_man(CLI::App& app, Globals&) {
  CLI::App& command = add_command(app, "man", "Print the manual page (roff)",
                                  "sluice man > sluice.1\nman ./sluice.1");
  command.callback([&app] { print(manual_page(command_tree(app))); });
}

}  // namespace sluice::cli
