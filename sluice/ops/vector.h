#pragma once

#include <memory>
#include <vector>

namespace sluice::ops {

/// Values kept in memory as float32 (norm weights, biases): small, and used by every token.
using Vector = std::shared_ptr<const std::vector<float>>;

}  // namespace sluice::ops
