#include "sluice/ops/row_lengths.h"

#include <cmath>

#include "sluice/ops/kernel_op.h"
#include "sluice/ops/matmul.h"

namespace sluice::ops {
namespace {

float length_of_row(const Context& context, const kernels::Matrix& matrix, int64_t row) {
  thread_local std::vector<float> values;
  values.resize(static_cast<size_t>(matrix.cols));
  context.kernels.dequantize_row(matrix, row, values.data());
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * value;
  return static_cast<float>(std::sqrt(squares));
}

RowLengths lengths_of(const Context& context, const residency::Weight& weight) {
  RowLengths lengths;
  for (const residency::Weight& block : context.weights.row_blocks(weight)) {
    const kernels::Matrix matrix = context.weights.acquire(block);
    const size_t first = lengths.size();
    lengths.resize(first + static_cast<size_t>(matrix.rows));
    context.pool.parallel_for(matrix.rows, 64, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        lengths[first + static_cast<size_t>(i)] = length_of_row(context, matrix, i);
    });
  }
  return lengths;
}

}  // namespace

mx::array divide_by_lengths(const Context& context, const mx::array& logits,
                            const residency::Weight& head, std::shared_ptr<RowLengths> lengths) {
  constexpr float kLeast = 1e-7F;
  const auto n = static_cast<int64_t>(logits.size());
  return kernel_op(
      context, "divide_by_lengths", {logits}, logits.shape(),
      [&context, head, lengths = std::move(lengths), n](const Buffers& b) {
        if (lengths->empty()) *lengths = lengths_of(context, head);
        context.pool.parallel_for(n, 16384, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const auto row = static_cast<size_t>(i) % lengths->size();
            b.output()[i] = b.input(0)[i] / ((*lengths)[row] + kLeast);
          }
        });
      },
      0);
}

}  // namespace sluice::ops
