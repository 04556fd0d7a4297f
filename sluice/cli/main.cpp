#include <fmt/format.h>

#include <clocale>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>

#include "sluice/base/error.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/output.h"
#include "sluice/cli/signals.h"
#include "sluice/engine/mlx_cache.h"

namespace sluice::cli {
namespace {

/// The contract of DESIGN section 9, which scripts rely on.
enum ExitCode : int { done = 0, failure = 1, bad_usage = 2, bad_model = 3, over_budget = 4 };

ExitCode exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::bad_request:
      return ExitCode::bad_usage;
    case ErrorKind::bad_model:
    case ErrorKind::unsupported:
      return ExitCode::bad_model;
    case ErrorKind::over_budget:
      return ExitCode::over_budget;
    case ErrorKind::io:
    case ErrorKind::internal:
      return ExitCode::failure;
  }
  return ExitCode::failure;
}

ExitCode report(ExitCode code, const std::string& message) {
  warn("error: " + message);
  return code;
}

ExitCode run(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);  // the command's callback runs in here
  } catch (const CLI::CallForHelp&) {
    print(app.help());
  } catch (const CLI::CallForAllHelp&) {
    print(app.help("", CLI::AppFormatMode::All));
  } catch (const CLI::CallForVersion& version) {
    print(std::string(version.what()) + "\n");
  } catch (const CLI::ParseError& error) {
    std::string usage = app.get_name();
    for (const CLI::App* command : app.get_subcommands()) usage += " " + command->get_name();
    return report(ExitCode::bad_usage, fmt::format("{}; see `{} --help`", error.what(), usage));
  }
  return ExitCode::done;
}

/// The one place of the command line where exceptions become messages and exit codes.
ExitCode run_and_translate(int argc, char** argv) {
  try {
    engine::limit_mlx_cache();
    Globals globals;
    CLI::App app;
    add_commands(app, globals);
    return run(app, argc, argv);
  } catch (const BrokenPipe&) {
    return ExitCode::done;
  } catch (const Error& error) {
    return report(exit_code(error.kind()), error.what());
  } catch (const std::bad_alloc&) {
    return report(ExitCode::failure, "out of memory");
  } catch (const std::exception& error) {
    return report(ExitCode::failure, error.what());
  } catch (...) {
    return report(ExitCode::failure, "an unknown exception");
  }
}

}  // namespace
}  // namespace sluice::cli

int main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "");  // the line editor needs to know wide characters
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  std::signal(SIGPIPE, SIG_IGN);  // print() reports a closed stdout, libcurl a closed connection
  sluice::cli::handle_signals();
  int code = 1;
  try {
    code = sluice::cli::run_and_translate(argc, argv);
  } catch (...) {  // not even the message could be made
  }
  sluice::cli::end_if_cancelled();
  return code;
}
