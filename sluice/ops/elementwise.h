#pragma once

#include <mlx/array.h>

#include <functional>
#include <span>

#include "sluice/ops/matmul.h"

namespace sluice::ops {

/// a + b, same shape, float32. Reuses a's memory when it can.
mx::array add(const Context& context, const mx::array& a, const mx::array& b);

/// a + sigmoid(gate) * b. a, b: [T, N]; gate: [T, 1] (a shared expert's gate).
mx::array add_sigmoid_gated(const Context& context, const mx::array& a, const mx::array& gate,
                            const mx::array& b);

/// p * a + (1 - p) * b of each row, p the softmax of shares at its first. a, b: [T, N]; shares: [T, 2].
mx::array mix(const Context& context, const mx::array& a, const mx::array& b,
              const mx::array& shares);

/// residual + end(y). y, residual: [T, N]. Reuses y's memory when it can.
mx::array add_block(const Context& context, const mx::array& y, const BlockEnd& end,
                    const mx::array& residual);

/// x[t] + row of each t. row: as many elements as x has columns.
mx::array add_to_rows(const Context& context, const mx::array& x, Vector row);

/// factor * x.
mx::array scale(const Context& context, const mx::array& x, float factor);

/// Each element brought into [-bound, bound].
mx::array clip(const Context& context, const mx::array& x, float bound);

/// The nearest of -128 step to 127 step, of two equally near ones the even multiple.
mx::array round_to_int8(const Context& context, const mx::array& x, float step);

/// a * b, same shape, float32.
mx::array multiply(const Context& context, const mx::array& a, const mx::array& b);

/// act(gate) * x, same shape, float32.
mx::array apply_gate(const Context& context, const mx::array& x, const mx::array& gate,
                     kernels::Activation activation);

/// The same of each run of norm.width() elements of x, of which each of n_groups parts is normed first by itself
/// (gated delta nets, lightning attention).
mx::array norm_and_gate(const Context& context, const mx::array& x, const mx::array& gate,
                        const Norm& norm, kernels::Activation activation, int64_t n_groups = 1);

/// act(gate) * x, then each of n_groups parts of a row normed by itself; norm's weights are a whole row's (Mamba-2).
mx::array gate_and_norm(const Context& context, const mx::array& x, const mx::array& gate,
                        kernels::Activation activation, const Norm& norm, int64_t n_groups);

/// cap * tanh(x / cap), as Gemma 2 bounds its logits.
mx::array soft_cap(const Context& context, const mx::array& x, float cap);

/// -infinity in these columns of each row; those that x has not are passed over.
mx::array hide_columns(const Context& context, const mx::array& x, std::vector<int32_t> columns);

/// Row `rows[i]` of x for each i. x: [T, N]; returns [rows.size(), N].
mx::array take_rows(const Context& context, const mx::array& x, std::vector<int> rows);

/// Columns [begin, begin + count) of x.
struct Columns {
  int64_t begin = 0, count = 0;
};
/// Part [begin, begin + count) of each head's run of `stride` columns.
std::vector<Columns> of_each_head(int64_t n_heads, int64_t stride, int64_t begin, int64_t count);
/// These columns of x side by side. x: [T, N]; returns [T, sum of the counts].
mx::array take_columns(const Context& context, const mx::array& x, std::vector<Columns> columns);

/// Each head's part of a, then of b. a: [T, n_heads * m]; b: [T, n_heads * n]; returns [T, n_heads * (m + n)].
mx::array join_heads(const Context& context, const mx::array& a, const mx::array& b,
                     int64_t n_heads);

/// Zeros after each head's n columns, so that it has `width`. x: [T, n_heads * n]; returns [T, n_heads * width].
mx::array widen_heads(const Context& context, const mx::array& x, int64_t n_heads, int64_t width);

/// Each head's columns of x times its column of gate, which goes through act first. x: [T, n_heads * n]; gate: [T, n_heads].
mx::array gate_heads(const Context& context, const mx::array& x, const mx::array& gate,
                     kernels::Activation activation);
/// The same with softplus.
mx::array softplus_heads(const Context& context, const mx::array& x, const mx::array& gate);

/// Column i of x times factors[i].
mx::array scale_columns(const Context& context, const mx::array& x, const Vector& factors);

/// Row t of x times factors[t].
mx::array scale_rows(const Context& context, const mx::array& x, std::vector<float> factors);

/// Chooses the token that follows, by one row of logits: float32 [vocab_size].
using ChooseRow = std::function<int32_t(size_t row, std::span<const float> logits)>;

/// What `choose` says of each row. logits: [T, vocab_size]; returns int32 [T]. Rows [begins[i], begins[i + 1]) come in
/// order, and with `together` different i at once, on the pool's threads; otherwise all on the stream's.
mx::array choose(const Context& context, const mx::array& logits, std::vector<int> begins,
                 bool together, ChooseRow choose);

/// Shows `see` each row of each of these, in order, on the stream's thread. of: [T, N] each; returns int32 [1], a zero.
using SeeRow = std::function<void(size_t which, int row, std::span<const float>)>;
mx::array show(const Context& context, std::vector<mx::array> of, SeeRow see);

/// tokens[i] = chosen[from[i]]: a step's tokens before they are known. chosen: int32; returns int32 [from.size()].
mx::array take_tokens(const Context& context, const mx::array& chosen, std::vector<int> from);

}  // namespace sluice::ops
