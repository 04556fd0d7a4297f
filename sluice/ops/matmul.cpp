#include "sluice/ops/matmul.h"

#include <algorithm>

#include "sluice/kernels/strips.h"

namespace sluice::ops {
namespace {

constexpr int64_t kPanelRows = 32;      // what the many-token product unpacks at a time
constexpr int64_t kFewTokens = 16;      // up to here a product asks for its next rows meanwhile
constexpr int64_t kPartsPerThread = 8;  // for balance
constexpr int64_t kMostRows = 512;

int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

}  // namespace

bool uses_int8(const Context& context, const kernels::Matrix& w) {
  return context.activations != Activations::float32 && kernels::has_int8(w.format);
}

Rows Rows::part(int64_t begin, int64_t count) const {
  return {count, cols, floats == nullptr ? nullptr : floats + begin * cols,
          int8 == nullptr ? nullptr : int8 + begin};
}

NewRows::NewRows(Scratch::Frame& frame, int64_t n_rows, int64_t n_cols, Forms forms)
    : n(n_rows), cols(n_cols), clip(forms.clip) {
  if (forms.floats) floats = frame.take<float>(n * cols);
  if (!forms.int8) return;
  const int64_t row_bytes = kernels::Int8Row{cols}.bytes();
  auto* bytes = frame.take<std::byte>(n * row_bytes);
  auto** rows = frame.take<std::byte*>(n);
  for (int64_t t = 0; t < n; ++t) rows[t] = bytes + t * row_bytes;
  int8 = rows;
}

void NewRows::set(const Context& context, int64_t t, int64_t begin, int64_t count,
                  const float* x) const {
  if (int8 != nullptr) {
    const bool refined = context.activations == Activations::refined;
    context.kernels.quantize(x, begin, begin + count, cols, refined ? clip : 0.0F, int8[t]);
  }
  if (floats != nullptr) std::copy_n(x, count, floats + t * cols + begin);
}

Rows make_rows(const Context& context, Scratch::Frame& frame, const std::optional<Norm>& norm,
               const float* x, int64_t n, int64_t cols, Forms forms) {
  if (!norm && !forms.int8) return {n, cols, x, nullptr};
  auto* normed = norm ? frame.take<float>(n * cols) : nullptr;
  const NewRows rows(frame, n, cols, {.floats = false, .int8 = forms.int8, .clip = forms.clip});
  const int64_t grain = std::max<int64_t>(1, 16384 / cols);
  context.pool.parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* row = x + t * cols;
      if (norm) {
        (*norm)(context.kernels, row, normed + t * cols);
        row = normed + t * cols;
      }
      rows.set(context, t, 0, cols, row);
    }
  });
  return {n, cols, norm ? normed : x, rows.int8};
}

kernels::Matrix rows_of(kernels::Matrix w, int64_t begin, int64_t n) {
  if (kernels::is_packed(w)) {
    kernels::select_packed_rows(w, begin, n, 1);
    return w;
  }
  w.data += begin * w.row_bytes;
  if (w.scales != nullptr) w.scales += begin * w.scale_row_bytes;
  if (w.biases != nullptr) w.biases += begin * w.scale_row_bytes;
  w.rows = n;
  return w;
}

void for_each_strip(const Context& context, const kernels::Matrix& w, const StripBody& body) {
  if (!kernels::needs_strips(w)) return body(w, 0);
  thread_local AlignedBytes scratch;
  std::byte* const memory = scratch.at_least(kernels::strip_bytes(w));
  const int64_t step = kernels::strip_rows(w);
  for (int64_t row = 0; row < w.rows; row += step) {
    const kernels::Matrix some = rows_of(w, row, std::min(step, w.rows - row));
    body(kernels::unpack_strip(context.kernels, some, memory), row);
  }
}

void dequantize_row(const Context& context, const kernels::Matrix& w, int64_t row, float* out) {
  for_each_strip(context, rows_of(w, row, 1), [&](const kernels::Matrix& one, int64_t) {
    context.kernels.dequantize_row(one, 0, out);
  });
}

namespace {

void multiply_unpacked(const Context& context, const kernels::Matrix& w, const Rows& x, float* y,
                       int64_t y_stride) {
  if (x.int8 != nullptr && uses_int8(context, w)) {
    thread_local AlignedBytes scratch;
    context.kernels.matmul_int8(w, 0, w.rows, x.int8, x.n, y, y_stride,
                                scratch.at_least(kernels::Int8Row{w.cols}.scratch_bytes()));
  } else {
    context.kernels.matmul(w, 0, w.rows, x.floats, x.cols, x.n, y, y_stride);
  }
}

}  // namespace

void multiply(const Context& context, const kernels::Matrix& w, const float* bias, const Rows& x,
              float* y, int64_t y_stride) {
  for_each_strip(context, w, [&](const kernels::Matrix& strip, int64_t row) {
    multiply_unpacked(context, strip, x, y + row, y_stride);
  });
  if (bias == nullptr) return;
  for (int64_t t = 0; t < x.n; ++t) {
    context.kernels.add_scaled(bias, 1.0F, w.rows, y + t * y_stride);
  }
}

int64_t rows_at_a_time(const Context& context, int64_t rows, int64_t n_tokens) {
  if (n_tokens > kFewTokens) return kPanelRows;
  const int64_t share = rows / (kPartsPerThread * context.pool.size());
  return std::clamp(round_up(share, kPanelRows), kPanelRows, kMostRows);
}

int64_t most_results_at_a_time(int64_t n_tokens) {
  return std::max(kPanelRows * n_tokens, kMostRows * std::min(kFewTokens, n_tokens));
}

void multiply_all(const Context& context, std::span<const Product> products, const Rows& x) {
  int64_t all_rows = 0;
  for (const Product& p : products) all_rows += p.w.rows;
  const int64_t step = rows_at_a_time(context, all_rows, x.n);
  int64_t n_parts = 0;
  for (const Product& p : products) n_parts += (p.w.rows + step - 1) / step;
  context.pool.parallel_for(n_parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      int64_t at = part;
      for (const Product& p : products) {
        const int64_t parts = (p.w.rows + step - 1) / step;
        if (at >= parts) {
          at -= parts;
          continue;
        }
        const int64_t row = at * step;
        const kernels::Matrix w = rows_of(p.w, row, std::min(step, p.w.rows - row));
        multiply(context, w, p.bias == nullptr ? nullptr : p.bias + row, x, p.y + row, p.y_stride);
        break;
      }
    }
  });
}

void finish_rows(const Context& context, const BlockEnd& end, float* y, const float* residual,
                 int64_t n, int64_t width, float* out) {
  const int64_t grain = std::max<int64_t>(1, 16384 / width);
  context.pool.parallel_for(n, grain, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      float* row = y + t * width;
      if (end.norm) (*end.norm)(context.kernels, row, row);
      for (int64_t i = 0; end.scale != 1 && i < width; ++i) row[i] *= end.scale;
      if (residual == nullptr) {
        std::copy_n(row, width, out + t * width);
      } else {
        for (int64_t i = 0; i < width; ++i) out[t * width + i] = residual[t * width + i] + row[i];
      }
    }
  });
}

}  // namespace sluice::ops
