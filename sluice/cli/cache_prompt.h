#pragma once

#include <CLI/CLI.hpp>

#include "sluice/cli/commands.h"

namespace sluice::cli {

/// `sluice cache prompt`, below `sluice cache`.
void add_cache_prompt(CLI::App& cache, Globals& globals);

}  // namespace sluice::cli
