#pragma once

#include <string>

#include "sluice/engine/plan_report.h"

namespace sluice::cli {

/// What bars are drawn with.
enum class BarStyle { blocks, ascii };
/// Blocks where the locale says UTF-8.
BarStyle bar_style();

/// A share from 0 to 1 of `width` columns, to an eighth of a column: "███▌".
std::string bar(double share, int width, BarStyle style);

/// For people, without colour, at most 96 columns.
std::string to_text(const engine::PlanReport& report, BarStyle style);

/// "org/name: qwen3, 28 layers, 1.12 GB in files: runs here, all in memory, at about 35 tok/s".
std::string to_line(const engine::PlanReport& report);

}  // namespace sluice::cli
