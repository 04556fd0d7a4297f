#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "sluice/models/source.h"
#include "sluice/nn/config.h"
#include "sluice/nn/weights.h"

namespace sluice::nn {
class Model;
}

namespace sluice::models {

/// A part of a tensor's name in the files and what we say there.
struct TensorName {
  std::string_view theirs;
  std::string_view ours;
};

/// The layer that says what comes after the next token (mtp.h), as a family's files have it.
struct MtpForm {
  /// How names of its tensors begin, and what they are called within the layer: its two norms `enorm` (of the token) and
  /// `hnorm` (of the state), `eh_proj` of both, `shared_head.norm` and, where it has its own, `shared_head.head` and
  /// `embed_tokens`; the rest as in any layer. Whole names before their beginnings. Empty: they are called so, in the layer
  /// after the model's.
  std::span<const TensorName> names = {};
  bool state_first = false;      ///< `eh_proj` takes the state, then the token
  bool hands_on_normed = false;  ///< what it goes on guessing with comes after shared_head.norm
  bool norms_may_differ =
      false;  ///< some files have the model's norms converted, and this layer's as published
};

/// One architecture family: what its file provides, and the registry finds by name.
struct Family {
  /// As config.json's model_type and GGUF's general.architecture spell it.
  std::span<const std::string_view> names;
  /// All that the family's layers need to know. Asks for every key that changes what it computes:
  /// the others are refused. config.h has readers that families share.
  nn::Config (*read)(const Source& source, nn::WeightTable& weights) = nullptr;
  /// Asks for every tensor that it computes with: the others are refused.
  std::unique_ptr<nn::Model> (*make)(nn::Config config, const nn::Weights& weights) = nullptr;
  /// Keys of config.json that are spelled otherwise ("n_embd" is "hidden_size").
  std::span<const KeyName> config_keys = {};
  /// Names within a GGUF layer ("ffn_norm", or "attn_sinks.weight" with its ending) that differ
  /// from weight_names.cpp's common ones.
  std::span<const TensorName> gguf_names = {};
  /// Parts of names in safetensors (".block_sparse_moe."), replaced one after the other; "^h." is how a name begins.
  std::span<const TensorName> hf_names = {};
  /// How names of tensors begin that draft tokens: what `mtp` does not use is left out.
  std::span<const std::string_view> drafting = {};
  /// Layers after those that the config counts draft tokens, likewise.
  bool drops_layers_beyond = false;
  const MtpForm* mtp = nullptr;  ///< null: Sluice does not draft with what the files may have
};

}  // namespace sluice::models
