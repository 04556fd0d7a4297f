#pragma once

#include <string>

namespace sluice::convert {

/// Whose columns a tensor that layers ask for as `ours` has: its path without an expert's number and its ending.
std::string column_path(const std::string& ours);

}  // namespace sluice::convert
