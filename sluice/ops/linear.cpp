#include "sluice/ops/linear.h"

#include "sluice/base/error.h"
#include "sluice/ops/kernel_op.h"
#include "sluice/ops/matmul.h"

namespace sluice::ops {

namespace {

std::vector<mx::array> project_clipped(const Context& context, const mx::array& x,
                                       const std::optional<Norm>& norm,
                                       const std::vector<Projection>& projections, float clip) {
  const int n_tokens = x.shape(0);
  std::vector<OutputSpec> outputs;
  for (const Projection& p : projections) {
    outputs.push_back({{n_tokens, static_cast<int>(p.weight.rows())}, mx::float32});
  }
  return kernel_op(
      context, "project", {x}, outputs,
      [&context, norm, projections, n_tokens, clip](const Buffers& b) {
        Scratch::Frame frame(context.scratch);
        const int64_t cols = projections[0].weight.cols();
        Forms forms{.clip = clip};
        for (const Projection& p : projections) forms.add(context, p.weight.matrix);
        const Rows rows = make_rows(context, frame, norm, b.input(0), n_tokens, cols, forms);
        // A weight that comes in blocks is multiplied block by block, the others at once.
        std::vector<Product> products;
        for (size_t i = 0; i < projections.size(); ++i) {
          const Projection& p = projections[i];
          const std::vector<residency::Weight> blocks = context.weights.row_blocks(p.weight);
          int64_t row = 0;
          for (const residency::Weight& block : blocks) {
            const float* bias = p.bias ? p.bias->data() + row : nullptr;
            const Product product{context.weights.acquire(block), bias, b.output(i) + row,
                                  p.weight.rows()};
            if (blocks.size() == 1) {
              products.push_back(product);
            } else {
              multiply_all(context, {&product, 1}, rows);
            }
            row += block.rows();
          }
        }
        multiply_all(context, products, rows);
      });
}

}  // namespace

std::vector<mx::array> project(const Context& context, const mx::array& x,
                               const std::optional<Norm>& norm,
                               const std::vector<Projection>& projections) {
  return project_clipped(context, x, norm, projections, kInputClip);
}

mx::array logits(const Context& context, const mx::array& x, const std::optional<Norm>& norm,
                 const Projection& head) {
  return project_clipped(context, x, norm, {head}, kLogitsClip)[0];
}

mx::array project_onto(const Context& context, const mx::array& x, const Projection& projection,
                       const BlockEnd& end, const mx::array& residual) {
  const auto n_tokens = static_cast<int64_t>(x.shape(0));
  return kernel_op(
      context, "project_onto", {x, residual}, residual.shape(),
      [&context, projection, end, n_tokens](const Buffers& b) {
        Scratch::Frame frame(context.scratch);
        const kernels::Matrix w = context.weights.acquire(projection.weight);
        Forms forms;
        forms.add(context, w);
        const Rows rows =
            make_rows(context, frame, std::nullopt, b.input(0), n_tokens, w.cols, forms);
        auto* y = frame.take<float>(n_tokens * w.rows);
        const float* bias = projection.bias ? projection.bias->data() : nullptr;
        const Product product{w, bias, y, w.rows};
        multiply_all(context, {&product, 1}, rows);
        finish_rows(context, end, y, b.input(1), n_tokens, w.rows, b.output());
      },
      1);
}

mx::array embedding(const Context& context, const mx::array& tokens, const residency::Weight& table,
                    float scale) {
  const int n_tokens = tokens.shape(0);
  const auto cols = static_cast<int>(table.cols());
  return kernel_op(context, "embedding", {tokens}, {n_tokens, cols},
                   [&context, table, scale, n_tokens](const Buffers& b) {
                     const int32_t* ids = b.ids(0);
                     for (int64_t t = 0; t < n_tokens; ++t) {
                       if (ids[t] >= 0 && ids[t] < table.rows()) continue;
                       fail(ErrorKind::bad_request, "token {} is not in the vocabulary of {}",
                            ids[t], table.rows());
                     }
                     const auto n = static_cast<size_t>(n_tokens);
                     const residency::TableRows rows = context.weights.rows(table, {ids, n});
                     for (size_t t = 0; t < n; ++t) {
                       float* row = b.output() + static_cast<int64_t>(t) * table.cols();
                       dequantize_row(context, rows.matrix, rows.row(t, ids[t]), row);
                       if (scale == 1.0F) continue;
                       for (int64_t i = 0; i < table.cols(); ++i) row[i] *= scale;
                     }
                   });
}

}  // namespace sluice::ops
