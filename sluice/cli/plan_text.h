#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sluice/nn/config.h"
#include "sluice/residency/plan/plan_parts.h"

namespace sluice::cli {

/// What a pull of the model would take.
struct Download {
  Bytes bytes;
  std::optional<Bytes> room;  ///< what it may fill of the disk; nullopt when that cannot be told

  bool fits() const { return !room || bytes <= *room; }
};

/// What `sluice plan` found.
struct PlanReport {
  std::string model;
  nn::Config config;
  Bytes file_bytes, bytes_active;
  int64_t context = 0;
  bool simulated = false;  ///< some of the machine is given, not measured
  bool has_tokenizer = true;
  Bytes smallest = {}, mapped = {};
  residency::Machine machine = {};  ///< a disk speed of 0 is not known
  residency::ResidencyPlan plan = {};
  std::vector<residency::PlanPart> parts = {};
  std::vector<residency::ResidencyPlan> table = {};
  std::optional<Download> download = {};  ///< of a model that is on the hub
};

/// Tokens per second; null where the disk counts and its speed is not known.
nlohmann::json to_json(const PlanReport& report);

/// What bars are drawn with.
enum class BarStyle { blocks, ascii };
/// Blocks where the locale says UTF-8.
BarStyle bar_style();

/// A share from 0 to 1 of `width` columns, to an eighth of a column: "███▌".
std::string bar(double share, int width, BarStyle style);

/// For people, without colour, at most 96 columns.
std::string to_text(const PlanReport& report, BarStyle style);

/// "org/name: qwen3, 28 layers, 1.12 GB in files: runs here, all in memory, at about 35 tok/s".
std::string to_line(const PlanReport& report);

}  // namespace sluice::cli
