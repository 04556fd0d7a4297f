#pragma once

#include <mlx/array.h>

#include <array>
#include <functional>
#include <optional>
#include <vector>

#include "sluice/ops/context.h"

namespace sluice::ops {

/// What a kernel's body gets: the inputs' and outputs' memory, all row-contiguous.
struct Buffers {
  std::vector<const void*> inputs;
  std::vector<void*> outputs;

  const float* input(size_t i) const { return static_cast<const float*>(inputs[i]); }
  const int32_t* ids(size_t i) const { return static_cast<const int32_t*>(inputs[i]); }
  float* output(size_t i = 0) const { return static_cast<float*>(outputs[i]); }
};

using KernelBody = std::function<void(const Buffers&)>;

struct OutputSpec {
  mx::Shape shape;
  mx::Dtype dtype;
};

/// Arrays computed by `body`, which runs on the context's stream, in stream order, when they are evaluated.
/// With `donate`, output 0 takes over that input's memory when nobody else holds it (same bytes needed);
/// the body must then be right when both are the same memory. An exception in the body goes to the
/// context's error slot, and a body is skipped once that is set.
std::vector<mx::array> kernel_op(const Context& context, const char* name,
                                 std::vector<mx::array> inputs,
                                 const std::vector<OutputSpec>& outputs, KernelBody body,
                                 std::optional<size_t> donate = std::nullopt);

/// The same for one float32 output.
mx::array kernel_op(const Context& context, const char* name, std::vector<mx::array> inputs,
                    mx::Shape shape, KernelBody body, std::optional<size_t> donate = std::nullopt);

}  // namespace sluice::ops
