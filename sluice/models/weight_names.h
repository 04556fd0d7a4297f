#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sluice/models/family.h"
#include "sluice/nn/weights.h"

namespace sluice::models {

/// Files a model's tensors under the names that layers ask for; what they are is not looked at.
/// Safetensors: mlx-lm's names and Hugging Face's; `family_names` after the common ones.
/// Throws Error(bad_model) when two tensors are the same one.
nn::WeightTable name_safetensors(const residency::WeightStore& store,
                                 std::span<const TensorName> family_names);

/// GGUF: "blk.3.attn_q.weight" is "model.layers.3.self_attn.q_proj.weight"; `family_names` before
/// the common ones.
nn::WeightTable name_gguf(const residency::WeightStore& store,
                          std::span<const TensorName> family_names);

/// The reverse: the GGUF's name of what layers ask for as `ours`, experts' without their number. norms_after: the family's layers have
/// norms after their blocks, so that post_attention_layernorm is one of them. nullopt: there is none.
std::optional<std::string> gguf_name_of(std::string_view ours,
                                        std::span<const TensorName> family_names, bool norms_after);

}  // namespace sluice::models
