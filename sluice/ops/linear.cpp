#include "sluice/ops/linear.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "sluice/base/error.h"
#include "sluice/ops/kernel_op.h"
#include "sluice/ops/matmul.h"

namespace sluice::ops {

namespace {

void transform_blocks(float* row, int64_t width, int64_t block) {
  const float factor = 1.0F / std::sqrt(static_cast<float>(block));
  for (float* x = row; x < row + width; x += block) {
    for (int64_t half = 1; half < block; half *= 2) {
      for (int64_t i = 0; i < block; i += 2 * half) {
        for (int64_t k = i; k < i + half; ++k) {
          const float a = x[k], b = x[k + half];
          x[k] = a + b;
          x[k + half] = a - b;
        }
      }
    }
    for (int64_t i = 0; i < block; ++i) x[i] *= factor;
  }
}

/// Rows as a rotated projection gets them; the others get `rows` as they are.
Rows rotated(const Context& context, Scratch::Frame& frame, const Projection& p, const Rows& rows,
             float clip) {
  if (!p.rotation.signs) return rows;
  const int64_t cols = rows.cols;
  auto* const turned = frame.take<float>(rows.n * cols);
  context.pool.parallel_for(rows.n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* const row = turned + t * cols;
      std::transform(rows.floats + t * cols, rows.floats + (t + 1) * cols,
                     p.rotation.signs->begin(), row, std::multiplies<>());
      transform_blocks(row, cols, p.rotation.block);
    }
  });
  Forms forms{.clip = clip};
  forms.add(context, p.weight.matrix);
  return make_rows(context, frame, std::nullopt, turned, rows.n, cols, forms);
}

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
        for (const Projection& p : projections) {
          if (!p.rotation.signs) forms.add(context, p.weight.matrix);
          forms.floats = forms.floats || p.rotation.signs;
        }
        const Rows rows = make_rows(context, frame, norm, b.input(0), n_tokens, cols, forms);
        // A weight that comes in blocks is multiplied block by block, the others at once.
        std::vector<Product> products;
        for (size_t i = 0; i < projections.size(); ++i) {
          const Projection& p = projections[i];
          const std::vector<residency::Weight> blocks = context.weights.row_blocks(p.weight);
          const Rows in = rotated(context, frame, p, rows, clip);
          int64_t row = 0;
          for (const residency::Weight& block : blocks) {
            const float* bias = p.bias ? p.bias->data() + row : nullptr;
            const Product product{context.weights.acquire(block), bias, b.output(i) + row,
                                  p.weight.rows()};
            if (blocks.size() == 1 && !p.rotation.signs) {
              products.push_back(product);
            } else {
              multiply_all(context, {&product, 1}, in);
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
        if (!projection.rotation.signs) forms.add(context, w);
        const Rows plain =
            make_rows(context, frame, std::nullopt, b.input(0), n_tokens, w.cols, forms);
        const Rows rows = rotated(context, frame, projection, plain, forms.clip);
        auto* y = frame.take<float>(n_tokens * w.rows);
        const float* bias = projection.bias ? projection.bias->data() : nullptr;
        const Product product{w, bias, y, w.rows};
        multiply_all(context, {&product, 1}, rows);
        finish_rows(context, end, y, b.input(1), n_tokens, w.rows, b.output());
      },
      1);
}

mx::array rotate_back(const Context& context, const mx::array& x, const Rotation& rotation) {
  const auto n_tokens = static_cast<int64_t>(x.shape(0));
  const auto cols = static_cast<int64_t>(x.shape(1));
  return kernel_op(
      context, "rotate_back", {x}, x.shape(), [rotation, n_tokens, cols](const Buffers& b) {
        for (int64_t t = 0; t < n_tokens; ++t) {
          float* const row = b.output() + t * cols;
          if (row != b.input(0) + t * cols) std::copy_n(b.input(0) + t * cols, cols, row);
          transform_blocks(row, cols, rotation.block);
          std::transform(row, row + cols, rotation.signs->begin(), row, std::multiplies<>());
        }
      });
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
                     context.weights.begin_tokens({ids, n}, n_tokens <= kShortStep);
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
