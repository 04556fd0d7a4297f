#pragma once

#include <span>
#include <string>

#include "sluice/models/family.h"
#include "sluice/nn/weights.h"

namespace sluice::models {

/// Sorts a model's tensors into a WeightTable under the paths that layers ask for.
/// Safetensors: mlx-lm's names and Hugging Face's raw ones (experts one by one, gpt-oss blocks).
nn::WeightTable name_safetensors(const residency::WeightStore& store);

/// GGUF: "blk.3.attn_q.weight" is "model.layers.3.self_attn.q_proj"; `family_names` come before the common ones.
nn::WeightTable name_gguf(const residency::WeightStore& store,
                          std::span<const GgufName> family_names);

}  // namespace sluice::models
