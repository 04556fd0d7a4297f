#pragma once

#include <cstdint>

#include "sluice/kernels/kernels.h"

namespace sluice::nn {

/// How keys, values and states are kept.
struct KvFormat {
  kernels::KvType type = kernels::KvType::f16;
  /// Of layers that see everything, if any: each whole block but the first, for tokens that are `recent` and more
  /// behind its end (decision 015).
  kernels::KvCode code = {};
  int64_t recent = 128;
  /// What recurrences carry from token to token; not the last inputs of convolutions and the like.
  kernels::KvType state_type = kernels::KvType::f32;
  /// Above 0: layers that see everything see so many tokens, of which the first ones stay (decision 016).
  int64_t max_size = 0;
};

}  // namespace sluice::nn
