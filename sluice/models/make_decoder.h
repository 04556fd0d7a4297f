#pragma once

#include <memory>

#include "sluice/nn/decoder.h"

namespace sluice::models {

/// For Family::make, of a layer that is constructed and called as nn::Decoder says. Each use
/// compiles a decoder.
template <typename Layer, typename Inputs = nn::NoInputs>
std::unique_ptr<nn::Model> make_decoder(nn::Config config, const nn::Weights& weights) {
  return std::make_unique<nn::Decoder<Layer, Inputs>>(std::move(config), weights);
}

}  // namespace sluice::models
