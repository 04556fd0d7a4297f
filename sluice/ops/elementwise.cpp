#include "sluice/ops/elementwise.h"

#include <cmath>
#include <cstring>

#include "sluice/ops/kernel_op.h"

namespace sluice::ops {
namespace {

constexpr int64_t kGrain = 16384;  // elements a thread takes at a time

/// An element-wise primitive over x.size() elements: body(buffers, begin, end).
template <typename Body>
mx::array elementwise(const Context& context, const char* name, std::vector<mx::array> inputs,
                      Body body) {
  const auto n = static_cast<int64_t>(inputs[0].size());
  const mx::Shape shape = inputs[0].shape();
  return kernel_op(
      context, name, std::move(inputs), shape,
      [&context, n, body](const Buffers& b) {
        context.pool.parallel_for(n, kGrain,
                                  [&](int64_t begin, int64_t end) { body(b, begin, end); });
      },
      0);
}

}  // namespace

mx::array add(const Context& context, const mx::array& a, const mx::array& b) {
  return elementwise(context, "add", {a, b},
                     [](const Buffers& buffers, int64_t begin, int64_t end) {
                       const float* x = buffers.input(0);
                       const float* y = buffers.input(1);
                       float* out = buffers.output();
                       for (int64_t i = begin; i < end; ++i) out[i] = x[i] + y[i];
                     });
}

mx::array add_sigmoid_gated(const Context& context, const mx::array& a, const mx::array& gate,
                            const mx::array& b) {
  const auto width = static_cast<int64_t>(a.shape(-1));
  const auto n_tokens = static_cast<int64_t>(a.shape(0));
  return kernel_op(
      context, "add_sigmoid_gated", {a, gate, b}, a.shape(),
      [&context, width, n_tokens](const Buffers& buffers) {
        if (buffers.output() != buffers.input(0)) {
          std::memcpy(buffers.output(), buffers.input(0),
                      static_cast<size_t>(width * n_tokens) * sizeof(float));
        }
        for (int64_t t = 0; t < n_tokens; ++t) {
          const float weight = 1.0F / (1.0F + std::exp(-buffers.input(1)[t]));
          context.kernels.add_scaled(buffers.input(2) + t * width, weight, width,
                                     buffers.output() + t * width);
        }
      },
      0);
}

mx::array soft_cap(const Context& context, const mx::array& x, float cap) {
  return elementwise(context, "soft_cap", {x}, [cap](const Buffers& b, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) b.output()[i] = cap * std::tanh(b.input(0)[i] / cap);
  });
}

mx::array take_rows(const Context& context, const mx::array& x, std::vector<int> rows) {
  const auto width = static_cast<int64_t>(x.shape(-1));
  const mx::Shape shape{static_cast<int>(rows.size()), static_cast<int>(width)};
  return kernel_op(
      context, "take_rows", {x}, shape, [rows = std::move(rows), width](const Buffers& b) {
        for (size_t i = 0; i < rows.size(); ++i) {
          std::memcpy(b.output() + static_cast<int64_t>(i) * width, b.input(0) + rows[i] * width,
                      static_cast<size_t>(width) * sizeof(float));
        }
      });
}

mx::array choose(const Context& context, const mx::array& logits, std::vector<int> begins,
                 bool together, ChooseRow choose) {
  const auto vocab_size = static_cast<size_t>(logits.shape(1));
  const OutputSpec tokens{{logits.shape(0)}, mx::int32};
  begins.push_back(logits.shape(0));
  return kernel_op(context, "choose", {logits}, std::vector{tokens},
                   [&context, begins = std::move(begins), together, choose = std::move(choose),
                    vocab_size](const Buffers& b) {
                     auto* const chosen = static_cast<int32_t*>(b.outputs[0]);
                     const auto choose_some = [&](int64_t begin, int64_t end) {
                       const auto last = static_cast<size_t>(begins[static_cast<size_t>(end)]);
                       for (auto row = static_cast<size_t>(begins[static_cast<size_t>(begin)]);
                            row < last; ++row)
                         chosen[row] = choose(row, {b.input(0) + row * vocab_size, vocab_size});
                     };
                     const int64_t n = std::ssize(begins) - 1;
                     if (together) {
                       context.pool.parallel_for(n, 1, choose_some);
                     } else {
                       choose_some(0, n);
                     }
                   })[0];
}

mx::array take_tokens(const Context& context, const mx::array& chosen, std::vector<int> from) {
  const OutputSpec tokens{{static_cast<int>(from.size())}, mx::int32};
  return kernel_op(context, "take_tokens", {chosen}, std::vector{tokens},
                   [from = std::move(from)](const Buffers& b) {
                     auto* const out = static_cast<int32_t*>(b.outputs[0]);
                     for (size_t i = 0; i < from.size(); ++i) out[i] = b.ids(0)[from[i]];
                   })[0];
}

}  // namespace sluice::ops
