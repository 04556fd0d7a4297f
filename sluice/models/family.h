#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "sluice/models/source.h"
#include "sluice/nn/decoder.h"

namespace sluice::models {

/// A tensor's name within a GGUF layer ("ffn_norm") and ours ("post_attention_layernorm").
struct GgufName {
  std::string_view gguf;
  std::string_view ours;
};

/// One architecture family: what the registry holds and its file provides.
struct Family {
  /// Sets what config.cpp's common reading does not know of this family. May be null.
  void (*configure)(nn::Config& config, const Source& source) = nullptr;
  std::unique_ptr<nn::Model> (*make)(nn::Config config, const nn::Weights& weights) = nullptr;
  /// GGUF tensor names that differ from weight_names.cpp's common ones.
  std::span<const GgufName> gguf_names;
};

template <typename Layer>
std::unique_ptr<nn::Model> make_decoder(nn::Config config, const nn::Weights& weights) {
  return std::make_unique<nn::Decoder<Layer>>(std::move(config), weights);
}

}  // namespace sluice::models
