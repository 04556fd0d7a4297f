#pragma once

#include <mlx/array.h>

#include <functional>
#include <span>

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

/// Chooses the token that follows, by one row of logits: float32 [vocab_size].
using ChooseRow = std::function<int32_t(size_t row, std::span<const float> logits)>;

/// What `choose` says of each row. logits: [T, vocab_size]; returns int32 [T]. Rows [begins[i], begins[i + 1]) come in
/// order, and with `together` different i at once, on the pool's threads; otherwise all on the stream's.
mx::array choose(const Context& context, const mx::array& logits, std::vector<int> begins,
                 bool together, ChooseRow choose);

/// tokens[i] = chosen[from[i]]: a step's tokens before they are known. chosen: int32; returns int32 [from.size()].
mx::array take_tokens(const Context& context, const mx::array& chosen, std::vector<int> from);

}  // namespace sluice::ops
