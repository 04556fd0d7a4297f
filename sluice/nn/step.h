#pragma once

#include <mlx/array.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "sluice/nn/config.h"
#include "sluice/nn/kv_cache.h"
#include "sluice/ops/context.h"
#include "sluice/ops/moe.h"

namespace sluice::nn {

/// One pass through the model: T tokens of one or more sequences, packed, no padding. Lives on the
/// engine's thread while the step's graph is built.
struct Step {
  const ops::Context& context;
  mx::array tokens;                                       ///< int32 [T]
  std::shared_ptr<const std::vector<int64_t>> positions;  ///< [T], absolute
  std::vector<ops::KvView> kv;                            ///< per KV group of the layout
  const KvLayout& layout;
  std::vector<int> logit_rows;        ///< the rows whose logits are wanted
  std::vector<int> hidden_rows = {};  ///< those whose state behind the final norm is
  std::vector<int> raw_rows = {};     ///< those whose state before it is
  ops::ExpertUse experts;
  /// Evaluate after every layer, so that a long prompt's activations do not pile up.
  bool evaluate_layers = false;

  /// Sparse blocks, added as the graph is built.
  std::shared_ptr<ops::MoeLayers> moe_layers = std::make_shared<ops::MoeLayers>();

  /// Those of a slot of the layout that add_state() gave.
  ops::KvView states(size_t slot) const { return kv[layout.group_of_layer[slot]]; }

  /// Angles already computed in this step, one entry per kind of RoPE.
  mutable std::vector<std::pair<RopeConfig, mx::array>> angles;

  /// What the first layers give, set as a whole graph is built: a step can be begun with them.
  mutable std::optional<mx::array> first_layers;

  /// The states of hidden_rows, set as the graph is built: float32 [hidden_rows.size(), hidden_size].
  mutable std::optional<mx::array> hidden = std::nullopt;
  mutable std::optional<mx::array> raw = std::nullopt;  ///< the same of raw_rows
};

}  // namespace sluice::nn
