#include "sluice/ops/elementwise.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "sluice/ops/kernel_op.h"
#include "sluice/ops/states.h"

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

/// Each run of `part` elements of a row normed by itself, with a whole row's weights; y may be x.
void norm_parts(const Context& context, const Norm& norm, int64_t part, const float* x, float* y) {
  for (int64_t i = 0; i < norm.width(); i += part) {
    context.kernels.rms_norm(x + i, norm.weight->data() + i, norm.weight_offset, part, norm.eps,
                             y + i);
  }
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

mx::array mix(const Context& context, const mx::array& a, const mx::array& b,
              const mx::array& shares) {
  const int64_t width = a.shape(1);
  return elementwise(
      context, "mix", {a, b, shares}, [width](const Buffers& buffers, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const float* const share = buffers.input(2) + i / width * 2;
          const float p = 1.0F / (1.0F + std::exp(share[1] - share[0]));
          buffers.output()[i] = p * buffers.input(0)[i] + (1 - p) * buffers.input(1)[i];
        }
      });
}

mx::array add_block(const Context& context, const mx::array& y, const BlockEnd& end,
                    const mx::array& residual) {
  const int64_t n = y.shape(0), width = y.shape(1);
  return kernel_op(
      context, "add_block", {y, residual}, y.shape(),
      [&context, end, n, width](const Buffers& b) {
        if (b.output() != b.input(0)) std::copy_n(b.input(0), n * width, b.output());
        finish_rows(context, end, b.output(), b.input(1), n, width, b.output());
      },
      0);
}

mx::array scale(const Context& context, const mx::array& x, float factor) {
  return elementwise(context, "scale", {x}, [factor](const Buffers& b, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) b.output()[i] = factor * b.input(0)[i];
  });
}

mx::array clip(const Context& context, const mx::array& x, float bound) {
  return elementwise(context, "clip", {x}, [bound](const Buffers& b, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) b.output()[i] = std::clamp(b.input(0)[i], -bound, bound);
  });
}

mx::array add_to_rows(const Context& context, const mx::array& x, Vector row) {
  return elementwise(context, "add_to_rows", {x},
                     [row = std::move(row)](const Buffers& b, int64_t begin, int64_t end) {
                       for (int64_t i = begin; i < end; ++i) {
                         const auto column = static_cast<size_t>(i) % row->size();
                         b.output()[i] = b.input(0)[i] + (*row)[column];
                       }
                     });
}

mx::array hide_columns(const Context& context, const mx::array& x, std::vector<int32_t> columns) {
  const auto n = static_cast<int64_t>(x.size()), width = static_cast<int64_t>(x.shape(-1));
  return kernel_op(
      context, "hide_columns", {x}, x.shape(),
      [columns = std::move(columns), n, width](const Buffers& b) {
        if (b.output() != b.input(0))
          std::memcpy(b.output(), b.input(0), static_cast<size_t>(n) * sizeof(float));
        for (int64_t row = 0; row < n; row += width) {
          for (const int32_t column : columns) {
            if (column < width) b.output()[row + column] = -std::numeric_limits<float>::infinity();
          }
        }
      },
      0);
}

mx::array round_to_int8(const Context& context, const mx::array& x, float step) {
  return elementwise(
      context, "round_to_int8", {x}, [step](const Buffers& b, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          b.output()[i] = std::clamp(std::nearbyint(b.input(0)[i] / step), -128.0F, 127.0F) * step;
      });
}

mx::array multiply(const Context& context, const mx::array& a, const mx::array& b) {
  return elementwise(context, "multiply", {a, b},
                     [](const Buffers& buffers, int64_t begin, int64_t end) {
                       const float* x = buffers.input(0);
                       const float* y = buffers.input(1);
                       float* out = buffers.output();
                       for (int64_t i = begin; i < end; ++i) out[i] = x[i] * y[i];
                     });
}

mx::array apply_gate(const Context& context, const mx::array& x, const mx::array& gate,
                     kernels::Activation activation) {
  return elementwise(context, "apply_gate", {x, gate},
                     [&context, activation](const Buffers& b, int64_t begin, int64_t end) {
                       context.kernels.gated(activation, 0, b.input(1) + begin, b.input(0) + begin,
                                             end - begin, b.output() + begin);
                     });
}

mx::array norm_and_gate(const Context& context, const mx::array& x, const mx::array& gate,
                        const Norm& norm, kernels::Activation activation, int64_t n_groups) {
  const int64_t width = norm.width(), n = static_cast<int64_t>(x.size()) / width;
  const int64_t part = width / n_groups;
  return kernel_op(
      context, "norm_and_gate", {x, gate}, x.shape(),
      [&context, norm, activation, width, part, n](const Buffers& b) {
        const int64_t grain = std::max<int64_t>(1, kGrain / width);
        context.pool.parallel_for(n, grain, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            float* const out = b.output() + i * width;
            norm_parts(context, norm, part, b.input(0) + i * width, out);
            context.kernels.gated(activation, 0, b.input(1) + i * width, out, width, out);
          }
        });
      },
      0);
}

mx::array gate_and_norm(const Context& context, const mx::array& x, const mx::array& gate,
                        kernels::Activation activation, const Norm& norm, int64_t n_groups) {
  const int64_t width = norm.width(), part = width / n_groups, n = x.shape(0);
  return kernel_op(
      context, "gate_and_norm", {x, gate}, x.shape(),
      [&context, activation, norm, width, part, n](const Buffers& b) {
        const int64_t grain = std::max<int64_t>(1, kGrain / width);
        context.pool.parallel_for(n, grain, [&](int64_t begin, int64_t end) {
          for (int64_t t = begin; t < end; ++t) {
            float* const out = b.output() + t * width;
            context.kernels.gated(activation, 0, b.input(1) + t * width, b.input(0) + t * width,
                                  width, out);
            norm_parts(context, norm, part, out, out);
          }
        });
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

std::vector<Columns> of_each_head(int64_t n_heads, int64_t stride, int64_t begin, int64_t count) {
  std::vector<Columns> columns;
  for (int64_t head = 0; head < n_heads; ++head) columns.push_back({head * stride + begin, count});
  return columns;
}

mx::array take_columns(const Context& context, const mx::array& x, std::vector<Columns> columns) {
  int64_t width = 0;
  for (const Columns& c : columns) width += c.count;
  const int64_t from_width = x.shape(1), n = x.shape(0);
  return kernel_op(context, "take_columns", {x}, {x.shape(0), static_cast<int>(width)},
                   [columns = std::move(columns), width, from_width, n](const Buffers& b) {
                     for (int64_t t = 0; t < n; ++t) {
                       float* out = b.output() + t * width;
                       for (const Columns& c : columns) {
                         std::copy_n(b.input(0) + t * from_width + c.begin, c.count, out);
                         out += c.count;
                       }
                     }
                   });
}

mx::array join_heads(const Context& context, const mx::array& a, const mx::array& b,
                     int64_t n_heads) {
  const int64_t m = a.shape(1) / n_heads, n = b.shape(1) / n_heads, n_rows = a.shape(0) * n_heads;
  const mx::Shape shape{a.shape(0), a.shape(1) + b.shape(1)};
  return kernel_op(context, "join_heads", {a, b}, shape, [m, n, n_rows](const Buffers& buffers) {
    for (int64_t i = 0; i < n_rows; ++i) {
      float* const out = buffers.output() + i * (m + n);
      std::copy_n(buffers.input(0) + i * m, m, out);
      std::copy_n(buffers.input(1) + i * n, n, out + m);
    }
  });
}

mx::array widen_heads(const Context& context, const mx::array& x, int64_t n_heads, int64_t width) {
  const int64_t n = x.shape(1) / n_heads, n_rows = x.shape(0) * n_heads;
  const mx::Shape shape{x.shape(0), static_cast<int>(n_heads * width)};
  return kernel_op(context, "widen_heads", {x}, shape, [n, width, n_rows](const Buffers& b) {
    for (int64_t i = 0; i < n_rows; ++i) {
      float* const out = b.output() + i * width;
      std::copy_n(b.input(0) + i * n, n, out);
      std::fill_n(out + n, width - n, 0.0F);
    }
  });
}

namespace {

template <typename Act>
mx::array times_heads(const Context& context, const mx::array& x, const mx::array& gate, Act act) {
  const int64_t n_rows = static_cast<int64_t>(gate.size());
  const int64_t width = static_cast<int64_t>(x.size()) / n_rows;
  return kernel_op(
      context, "gate_heads", {x, gate}, x.shape(),
      [act, n_rows, width](const Buffers& b) {
        for (int64_t i = 0; i < n_rows; ++i) {
          const float factor = act(b.input(1) + i);
          for (int64_t j = i * width; j < (i + 1) * width; ++j)
            b.output()[j] = b.input(0)[j] * factor;
        }
      },
      0);
}

}  // namespace

mx::array gate_heads(const Context& context, const mx::array& x, const mx::array& gate,
                     kernels::Activation activation) {
  return times_heads(context, x, gate, [&context, activation](const float* of) {
    float factor = 0;
    context.kernels.activate(activation, of, 1, &factor);
    return factor;
  });
}

mx::array softplus_heads(const Context& context, const mx::array& x, const mx::array& gate) {
  return times_heads(context, x, gate, [](const float* of) { return softplus(*of); });
}

mx::array scale_columns(const Context& context, const mx::array& x, const Vector& factors) {
  const int64_t width = x.shape(1);
  return elementwise(context, "scale_columns", {x},
                     [factors, width](const Buffers& b, int64_t begin, int64_t end) {
                       for (int64_t i = begin; i < end; ++i)
                         b.output()[i] = b.input(0)[i] * (*factors)[static_cast<size_t>(i % width)];
                     });
}

mx::array scale_rows(const Context& context, const mx::array& x, std::vector<float> factors) {
  const int64_t width = x.shape(1);
  return elementwise(
      context, "scale_rows", {x},
      [factors = std::move(factors), width](const Buffers& b, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          b.output()[i] = b.input(0)[i] * factors[static_cast<size_t>(i / width)];
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

mx::array show(const Context& context, std::vector<mx::array> of, SeeRow see) {
  std::vector<mx::Shape> shapes;
  for (const mx::array& rows : of) shapes.push_back(rows.shape());
  const OutputSpec zero{{1}, mx::int32};
  return kernel_op(context, "show", std::move(of), std::vector{zero},
                   [shapes = std::move(shapes), see = std::move(see)](const Buffers& b) {
                     *static_cast<int32_t*>(b.outputs[0]) = 0;
                     for (size_t i = 0; i < shapes.size(); ++i) {
                       const auto width = static_cast<size_t>(shapes[i][1]);
                       for (int row = 0; row < shapes[i][0]; ++row)
                         see(i, row, {b.input(i) + static_cast<size_t>(row) * width, width});
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
