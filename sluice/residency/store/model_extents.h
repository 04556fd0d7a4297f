#pragma once

#include <cstdint>
#include <vector>

#include "sluice/residency/experts/slots.h"
#include "sluice/residency/experts/token_experts.h"
#include "sluice/residency/plan/plan.h"
#include "sluice/residency/weight.h"

namespace sluice::residency {

/// Where in a model's files what it computes with is.
struct ModelExtents {
  struct Layer {
    std::vector<std::vector<io::Extent>> dense;  ///< of each matrix that every token needs
    std::vector<ExpertExtents> experts;          ///< none: a dense layer
    int n_experts_per_tok = 0;
  };
  std::vector<Layer> layers;
  Weight head;
  std::vector<io::Extent> embedding;  ///< none: the head is the same matrix
};

/// The bytes of all of a weight's rows; where it is packed, of all rows it is a part of.
std::vector<io::Extent> extents_of(const Weight& weight);

/// n_blocks parts of about the same number of rows.
std::vector<Weight> row_blocks(const Weight& weight, int n_blocks);

/// What the plan needs to know of the weights; keys and values and the process are left to the caller.
/// Throws Error(unsupported) where the head is packed, so that no part of its rows lies together.
Footprint footprint_of(const ModelExtents& model);

ExpertFiles expert_files(const ModelExtents& model);

/// The table of what tokens ask for: 4 MB at most, and a small part of what the experts take. Of a model with experts.
TokenExperts::Shape token_experts(const ModelExtents& model);

}  // namespace sluice::residency
