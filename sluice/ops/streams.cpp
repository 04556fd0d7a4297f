#include "sluice/ops/streams.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "sluice/ops/kernel_op.h"
#include "sluice/ops/states.h"

namespace sluice::ops {
namespace {

/// row(buffers, t) of each of n rows, on the pool's threads.
template <typename Row>
mx::array by_rows(const Context& context, const char* name, std::vector<mx::array> inputs,
                  mx::Shape shape, Row row) {
  const int64_t n = shape[0];
  return kernel_op(context, name, std::move(inputs), std::move(shape),
                   [&context, n, row](const Buffers& b) {
                     context.pool.parallel_for(n, 4, [&](int64_t begin, int64_t end) {
                       for (int64_t t = begin; t < end; ++t) row(b, t);
                     });
                   });
}

/// Sums of f(i) for i in [0, n): 16 partial sums by i mod 16, which are then added in order.
template <typename Term>
float sum_of(int64_t n, Term f) {
  std::array<float, 16> sums{};
  for (int64_t i = 0; i < n; ++i) sums[static_cast<size_t>(i % 16)] += f(i);
  float sum = 0;
  for (const float one : sums) sum += one;
  return sum;
}

float mean_square(const float* x, int64_t n) {
  return sum_of(n, [x](int64_t i) { return x[i] * x[i]; }) / static_cast<float>(n);
}

/// Row `row` of coefficients [.., n] times tanh of the token's modalities.
float coefficient(const Vector& coefficients, int64_t row, const float* modalities, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i)
    sum += (*coefficients)[static_cast<size_t>(row * n + i)] * std::tanh(modalities[i]);
  return sum;
}

/// Divides runs of n elements, `stride` apart, by their sums: i begins at x + i * step.
void normalize(float* x, int64_t n, int64_t step, int64_t stride, float eps) {
  for (int64_t i = 0; i < n; ++i) {
    float* const run = x + i * step;
    float sum = 0;
    for (int64_t j = 0; j < n; ++j) sum += run[j * stride];
    for (int64_t j = 0; j < n; ++j) run[j * stride] /= sum + eps;
  }
}

/// x: [n, n], of which rows become parts of a softmax first.
void make_stochastic(float* x, int64_t n, int64_t iterations, float eps) {
  for (float* row = x; row < x + n * n; row += n) {
    const float most = *std::max_element(row, row + n);
    float sum = 0;
    for (int64_t j = 0; j < n; ++j) sum += row[j] = std::exp(row[j] - most);
    for (int64_t j = 0; j < n; ++j) row[j] = row[j] / sum + eps;
  }
  normalize(x, n, 1, n, eps);
  for (int64_t i = 1; i < iterations; ++i) {
    normalize(x, n, n, 1, eps);
    normalize(x, n, 1, n, eps);
  }
}

}  // namespace

mx::array predict_streams(const Context& context, const mx::array& x, const mx::array& modalities,
                          const Vector& coefficients, const Streams& s) {
  return by_rows(context, "predict_streams", {x, modalities}, x.shape(),
                 [coefficients, s](const Buffers& b, int64_t t) {
                   const float* const in = b.input(0) + t * s.n * s.width;
                   float* const out = b.output() + t * s.n * s.width;
                   std::copy_n(in, s.n * s.width, out);
                   for (int64_t i = 0; i < s.n * s.n; ++i) {
                     const float c = coefficient(coefficients, i, b.input(1) + t * s.n, s.n);
                     const float* const from = in + i % s.n * s.width;
                     float* const to = out + i / s.n * s.width;
                     for (int64_t d = 0; d < s.width; ++d) to[d] += c * from[d];
                   }
                 });
}

mx::array correct_streams(const Context& context, const mx::array& x, const mx::array& y,
                          const mx::array& modalities, const Vector& coefficients,
                          const Streams& s) {
  return by_rows(context, "correct_streams", {x, y, modalities}, x.shape(),
                 [coefficients, s](const Buffers& b, int64_t t) {
                   const float* const in = b.input(0) + t * s.n * s.width;
                   const float* const given = b.input(1) + t * s.width;
                   const float* const active = in + s.active * s.width;
                   float* const out = b.output() + t * s.n * s.width;
                   for (int64_t i = 0; i < s.n; ++i) {
                     const float c = 1 + coefficient(coefficients, i, b.input(2) + t * s.n, s.n);
                     for (int64_t d = 0; d < s.width; ++d)
                       out[i * s.width + d] = in[i * s.width + d] + (given[d] - active[d]) * c;
                   }
                 });
}

mx::array add_to_later_streams(const Context& context, const mx::array& x, const mx::array& y,
                               const Streams& s) {
  return by_rows(context, "add_to_later_streams", {x, y}, x.shape(),
                 [s](const Buffers& b, int64_t t) {
                   const float* const in = b.input(0) + t * s.n * s.width;
                   const float* const added = b.input(1) + t * s.width;
                   float* const out = b.output() + t * s.n * s.width;
                   std::copy_n(in, s.width, out);
                   for (int64_t i = s.width; i < s.n * s.width; ++i)
                     out[i] = in[i] + added[i % s.width];
                 });
}

mx::array match_magnitudes(const Context& context, const mx::array& x, const Streams& s) {
  static constexpr float kLeast = 1e-5F;  // transformers' bound of a mean square
  return by_rows(context, "match_magnitudes", {x}, x.shape(), [s](const Buffers& b, int64_t t) {
    const float* const in = b.input(0) + t * s.n * s.width;
    float* const out = b.output() + t * s.n * s.width;
    std::copy_n(in, s.width, out);
    const float wanted = std::sqrt(mean_square(in, s.width));
    for (int64_t i = 1; i < s.n; ++i) {
      const float* const from = in + i * s.width;
      const float factor = wanted / std::sqrt(std::max(mean_square(from, s.width), kLeast));
      for (int64_t d = 0; d < s.width; ++d) out[i * s.width + d] = from[d] * factor;
    }
  });
}

mx::array mean_stream(const Context& context, const mx::array& x, const Streams& s) {
  return by_rows(context, "mean_stream", {x}, {x.shape(0), static_cast<int>(s.width)},
                 [s](const Buffers& b, int64_t t) {
                   const float* const in = b.input(0) + t * s.n * s.width;
                   for (int64_t d = 0; d < s.width; ++d) {
                     float sum = 0;
                     for (int64_t i = 0; i < s.n; ++i) sum += in[i * s.width + d];
                     b.output()[t * s.width + d] = sum / static_cast<float>(s.n);
                   }
                 });
}

mx::array hyper_mix(const Context& context, const mx::array& projected, const HyperSpec& spec,
                    const Streams& s) {
  return by_rows(context, "hyper_mix", {projected}, projected.shape(),
                 [spec, n = s.n](const Buffers& b, int64_t t) {
                   const int64_t size = 2 * n + n * n;
                   const float* const in = b.input(0) + t * size;
                   float* const out = b.output() + t * size;
                   for (int64_t i = 0; i < size; ++i) {
                     const auto part = static_cast<size_t>(std::min<int64_t>(i / n, 2));
                     out[i] = in[i] * (*spec.scale)[part] + (*spec.base)[static_cast<size_t>(i)];
                   }
                   for (int64_t i = 0; i < n; ++i) out[i] = sigmoid(out[i]) + spec.eps;
                   for (int64_t i = n; i < 2 * n; ++i) out[i] = 2 * sigmoid(out[i]);
                   make_stochastic(out + 2 * n, n, spec.iterations, spec.eps);
                 });
}

mx::array collapse_streams(const Context& context, const mx::array& x, const mx::array& mix,
                           const Streams& s) {
  return by_rows(context, "collapse_streams", {x, mix}, {x.shape(0), static_cast<int>(s.width)},
                 [s](const Buffers& b, int64_t t) {
                   const float* const in = b.input(0) + t * s.n * s.width;
                   const float* const pre = b.input(1) + t * (2 * s.n + s.n * s.n);
                   float* const out = b.output() + t * s.width;
                   std::fill_n(out, s.width, 0.0F);
                   for (int64_t i = 0; i < s.n; ++i) {
                     for (int64_t d = 0; d < s.width; ++d) out[d] += pre[i] * in[i * s.width + d];
                   }
                 });
}

mx::array expand_streams(const Context& context, const mx::array& x, const mx::array& y,
                         const mx::array& mix, const Streams& s) {
  return by_rows(context, "expand_streams", {x, y, mix}, x.shape(),
                 [s](const Buffers& b, int64_t t) {
                   const float* const in = b.input(0) + t * s.n * s.width;
                   const float* const made = b.input(1) + t * s.width;
                   const float* const post = b.input(2) + t * (2 * s.n + s.n * s.n) + s.n;
                   const float* const comb = post + s.n;
                   for (int64_t j = 0; j < s.n; ++j) {
                     float* const out = b.output() + (t * s.n + j) * s.width;
                     std::fill_n(out, s.width, 0.0F);
                     for (int64_t i = 0; i < s.n; ++i) {
                       for (int64_t d = 0; d < s.width; ++d)
                         out[d] += comb[i * s.n + j] * in[i * s.width + d];
                     }
                     for (int64_t d = 0; d < s.width; ++d) out[d] += post[j] * made[d];
                   }
                 });
}

mx::array sparse_gelu(const Context& context, const mx::array& gate, const mx::array& up,
                      float cutoff) {
  const int64_t width = gate.shape(1);
  return by_rows(
      context, "sparse_gelu", {gate, up}, gate.shape(),
      [&context, width, cutoff](const Buffers& b, int64_t t) {
        const float* const in = b.input(0) + t * width;
        float* const out = b.output() + t * width;
        const auto n = static_cast<float>(width);
        const float mean = sum_of(width, [in](int64_t i) { return in[i]; }) / n;
        const float variance =
            sum_of(width, [in, mean](int64_t i) { return (in[i] - mean) * (in[i] - mean); }) / n;
        const float bound = mean + cutoff * std::sqrt(variance);
        for (int64_t i = 0; i < width; ++i) out[i] = std::max(0.0F, in[i] - bound);
        context.kernels.gated(kernels::Activation::gelu_tanh, 0, out, b.input(1) + t * width, width,
                              out);
      });
}

mx::array attend_residuals(const Context& context, std::vector<mx::array> of, const Vector& w,
                           float eps) {
  const int64_t width = of[0].shape(1);
  const auto n = of.size();
  const mx::Shape shape = of[0].shape();
  return by_rows(context, "attend_residuals", std::move(of), shape,
                 [n, width, w, eps](const Buffers& b, int64_t t) {
                   std::vector<float> shares(n);
                   for (size_t i = 0; i < n; ++i) {
                     const float* const x = b.input(i) + t * width;
                     const float product =
                         sum_of(width, [&](int64_t d) { return x[d] * w->data()[d]; });
                     shares[i] = product / std::sqrt(mean_square(x, width) + eps);
                   }
                   const float most = *std::max_element(shares.begin(), shares.end());
                   float sum = 0;
                   for (float& share : shares) sum += share = std::exp(share - most);
                   float* const out = b.output() + t * width;
                   std::fill_n(out, width, 0.0F);
                   for (size_t i = 0; i < n; ++i) {
                     const float* const x = b.input(i) + t * width;
                     const float share = shares[i] / sum;
                     for (int64_t d = 0; d < width; ++d) out[d] += share * x[d];
                   }
                 });
}

}  // namespace sluice::ops
