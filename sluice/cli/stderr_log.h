#pragma once

#include <functional>
#include <string_view>

namespace sluice::cli {

/// Writes lines to stderr as they are, on a thread of its own: who writes one never waits for whoever reads them. When
/// thousands wait, the oldest are lost. Its copies are one log, which has written all when the last one dies.
std::function<void(std::string_view)> open_stderr_log();

}  // namespace sluice::cli
