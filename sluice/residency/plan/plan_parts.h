#pragma once

#include <string_view>
#include <vector>

#include "sluice/residency/plan/plan.h"

namespace sluice::residency {

/// A line of a plan: what it is, where it is, and what that costs.
struct PlanPart {
  std::string_view name;  ///< "layers", "head", ...
  std::string_view
      placement;  ///< "mapped", "resident", "streamed", "read ahead", "slots", "read by row"; "" for no weights
  Bytes bytes;           ///< all of it
  Bytes memory;          ///< that it takes; the parts' sum is the plan's total
  Bytes disk_per_token;  ///< expected
};

/// Where each part of the model goes, and what else takes memory, the largest concerns first. What does not exist
/// (experts of a dense model, slabs when nothing is streamed) is left out.
std::vector<PlanPart> parts_of(const Footprint& model, const ResidencyPlan& plan);

}  // namespace sluice::residency
