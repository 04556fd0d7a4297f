#pragma once

#include <mlx/array.h>

#include "sluice/ops/context.h"

namespace sluice::ops {

/// a + b, same shape, float32. Reuses a's memory when it can.
mx::array add(const Context& context, const mx::array& a, const mx::array& b);

/// a + sigmoid(gate) * b. a, b: [T, N]; gate: [T, 1] (a shared expert's gate).
mx::array add_sigmoid_gated(const Context& context, const mx::array& a, const mx::array& gate,
                            const mx::array& b);

/// cap * tanh(x / cap), as Gemma 2 bounds its logits.
mx::array soft_cap(const Context& context, const mx::array& x, float cap);

/// Row `rows[i]` of x for each i. x: [T, N]; returns [rows.size(), N].
mx::array take_rows(const Context& context, const mx::array& x, std::vector<int> rows);

}  // namespace sluice::ops
