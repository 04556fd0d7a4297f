#pragma once

#include <memory>

#include "sluice/nn/config.h"
#include "sluice/nn/weights.h"

namespace sluice::nn {
class Model;
}

namespace sluice::models {

// For Family::make: decoders of layers.h's layers.
std::unique_ptr<nn::Model> make_pre_norm(nn::Config config, const nn::Weights& weights);
std::unique_ptr<nn::Model> make_sandwich_norm(nn::Config config, const nn::Weights& weights);
std::unique_ptr<nn::Model> make_parallel(nn::Config config, const nn::Weights& weights);
std::unique_ptr<nn::Model> make_post_norm(nn::Config config, const nn::Weights& weights);

}  // namespace sluice::models
