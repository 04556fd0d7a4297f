#pragma once

#include "sluice/nn/config.h"
#include "sluice/nn/weights.h"
#include "sluice/residency/store/model_extents.h"

namespace sluice::models {

/// Where each layer's matrices and experts are in the model's files. Norms and biases are not counted: they
/// are copied when the model is opened. Throws Error(bad_model) when the head or an expert is not there.
residency::ModelExtents extents_of(const nn::WeightTable& table, const nn::Config& config);

}  // namespace sluice::models
