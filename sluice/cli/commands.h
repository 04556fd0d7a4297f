#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace sluice::cli {

/// What the commands share.
struct Globals {
  bool json = false;   ///< --json: one JSON object on stdout and nothing else there
  bool quiet = false;  ///< --quiet: no progress on stderr
};

// One function per command, each in the file of its name. It adds the subcommand to app; the
// subcommand's callback does the work once the whole command line was parsed. README.md says how.
void add_plan(CLI::App& app, Globals& globals);
void add_bench(CLI::App& app, Globals& globals);
void add_cache(CLI::App& app, Globals& globals);
void add_chat(CLI::App& app, Globals& globals);
void add_completion(CLI::App& app, Globals& globals);
void add_convert(CLI::App& app, Globals& globals);
void add_embed(CLI::App& app, Globals& globals);
void add_imatrix(CLI::App& app, Globals& globals);
void add_inspect(CLI::App& app, Globals& globals);
void add_kl(CLI::App& app, Globals& globals);
void add_list(CLI::App& app, Globals& globals);
void add_logits(CLI::App& app, Globals& globals);
void add_man(CLI::App& app, Globals& globals);
void add_perplexity(CLI::App& app, Globals& globals);
void add_pull(CLI::App& app, Globals& globals);
void add_upload(CLI::App& app, Globals& globals);
void add_rm(CLI::App& app, Globals& globals);
void add_run(CLI::App& app, Globals& globals);
void add_serve(CLI::App& app, Globals& globals);
void add_template(CLI::App& app, Globals& globals);
void add_tokenize(CLI::App& app, Globals& globals);

/// The whole command line: every command in the order in which help shows them.
/// `globals` outlives the app.
void add_commands(CLI::App& app, Globals& globals);

/// Starts a command: `examples` is shown below its help and in the manual page, one command a line,
/// without indentation; a line that starts with "# " is a remark.
CLI::App& add_command(CLI::App& app, const std::string& name, const std::string& description,
                      const std::string& examples);

/// Gives a command --json (sets globals.json).
void add_json_flag(CLI::App& command, Globals& globals);

/// Gives a command -q,--quiet (sets globals.quiet).
void add_quiet_flag(CLI::App& command, Globals& globals);
/// --tries and --stall (seconds), of what goes over the network.
void add_retry_options(CLI::App& command, int& tries, int& stall);

}  // namespace sluice::cli
