#pragma once

#include "sluice/nn/weights.h"
#include "sluice/residency/store/model_extents.h"

namespace sluice::models {

/// Where the matrices and experts that layers asked for are in the model's files, each layer's in
/// the order of use. Norms and biases are not counted: they are copied when the model is opened.
residency::ModelExtents extents_of(const nn::WeightTable& table, int64_t n_layers,
                                   int64_t n_experts_per_tok);

/// What one token's computation reads: every matrix (a table only when it is the output projection
/// too), and of each layer's experts as many as a token uses.
struct ActiveBytes {
  Bytes all, experts;
};
ActiveBytes active_bytes(const residency::ModelExtents& model);

}  // namespace sluice::models
