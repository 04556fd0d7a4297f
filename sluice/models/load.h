#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/io/formats/gguf.h"
#include "sluice/models/extents.h"
#include "sluice/models/left_over.h"
#include "sluice/models/mtp.h"
#include "sluice/models/pooling.h"
#include "sluice/nn/model.h"
#include "sluice/residency/store/weights.h"

namespace sluice::models {

/// A model opened from its original files. Members are declared in the order they depend on each
/// other.
struct LoadedModel {
  std::optional<io::Gguf> gguf;  ///< its metadata also hold the vocabulary and chat template
  std::unique_ptr<residency::WeightStore> store;
  std::unique_ptr<nn::Model> model;
  /// The layer that drafts tokens, where there is one and it was asked for; null: none.
  std::unique_ptr<MtpLayer> mtp;
  residency::ModelExtents extents;
  residency::ModelExtents
      extents_with_mtp;  ///< the layer that drafts is one more; without one: none
  ActiveBytes active;
  /// Some weights are integers, which 8-bit activations can be multiplied with.
  bool takes_int8 = false;
  LeftOut left_out;
  /// LoadOptions::kv_type is not what fits the weights, nor float32.
  bool lossy_kv = false;
  std::optional<Pooling> pooling;  ///< unset: the model's vectors are more than pooled states
  uint64_t n_parameters = 0;       ///< of all matrices: norms and biases are too few to tell
  bool only_int8 = false;          ///< all of the layers' are, routers aside
  Bytes strip = {};                ///< what a thread unpacks a packed matrix into, at most

  /// Leaves the layer out that drafts tokens.
  void drop_mtp();
};

inline constexpr double kAdaptiveMass = 0.9;

struct LoadOptions {
  residency::LoadMode mode = residency::LoadMode::map;
  bool few_pages = false;  ///< of the files are to be in memory once the model is open
  bool drafts = false;     ///< the layer that drafts tokens is wanted, where Sluice knows it
  // Lossy; refused for a model without experts.
  int64_t top_k_experts = 0;  ///< of a token, fewer than the model was trained with; 0: as trained
  bool adaptive_experts = false;  ///< as many as make kAdaptiveMass of their weights

  std::optional<kernels::KvType> kv_type =
      std::nullopt;  ///< of keys and values; unset: what fits the weights
  // Of nn::KvFormat.
  kernels::KvCode kv_code = {};
  int64_t kv_recent = nn::KvFormat{}.recent;
  kernels::KvType state_type = nn::KvFormat{}.state_type;
  int64_t max_kv_size = 0;
};

/// path: a .gguf file, or a directory with config.json and safetensors. Mapped, nothing but
/// headers, norms and biases is read: opening takes the same time for any size. Throws
/// Error(bad_model), Error(unsupported) or Error(io).
LoadedModel load_model(const std::filesystem::path& path, const LoadOptions& options);

}  // namespace sluice::models
