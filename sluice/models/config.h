#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sluice/models/source.h"
#include "sluice/nn/config.h"
#include "sluice/nn/weights.h"

namespace sluice::models {

/// Reads what all families share. Every number is checked: sizes in range, heads divisible, at most
/// 2^20 layers' worth of nothing. Throws Error(bad_model) naming the file and the key.
/// weights: for sizes and choices that only the tensors know (vocabulary of a GGUF, tied embeddings,
/// RoPE tables).
nn::Config read_config(const Source& source, const nn::WeightTable& weights);

/// Which layers rotate (SmolLM3: every fourth does not). [n_layers]
std::vector<bool> rope_layers(const Source& source, int64_t n_layers);

/// What config.json says of the quantization of the modules it names ("quantization", else
/// "quantization_config"). Of the others the tensors' shapes tell, as they do in mlx-lm. Null when it
/// names none.
std::function<std::optional<nn::QuantizationConfig>(const std::string& path)> quantization_of(
    const Source& source);

}  // namespace sluice::models
