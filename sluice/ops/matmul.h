#pragma once

#include <functional>
#include <span>

#include "sluice/ops/linear.h"
#include "sluice/ops/scratch.h"

namespace sluice::ops {

/// Activations in the forms the weights they meet are multiplied with. Bodies of primitives make these.
struct Rows {
  int64_t n = 0, cols = 0;
  const float* floats = nullptr;  ///< [n, cols]
  const std::byte* const* int8 =
      nullptr;  ///< [n] rows of kernels::Int8Row{cols}; null: no weight needs them

  /// Rows [begin, begin + count).
  Rows part(int64_t begin, int64_t count) const;
};

/// Whether this weight is multiplied with 8-bit activations.
bool uses_int8(const Context& context, const kernels::Matrix& w);

// How fine refined activations are: KernelTable::quantize's clip. Where they come from a gate, they have long tails, of
// which each element costs, and matter less; for the logits, of which a prompt needs one row, they matter most.
constexpr float kInputClip = 3.25F;
constexpr float kActivatedClip = 4.5F;
constexpr float kLogitsClip = 1.0F;

/// The forms that some weights need their activations in.
struct Forms {
  bool floats = false, int8 = false;
  float clip = kInputClip;  ///< of the 8-bit ones, when they are refined

  void add(const Context& context, const kernels::Matrix& w) {
    (uses_int8(context, w) ? int8 : floats) = true;
  }
};

/// Rows that are being made, in the forms they will be needed in.
struct NewRows {
  int64_t n = 0, cols = 0;
  float* floats = nullptr;
  std::byte* const* int8 = nullptr;
  float clip = 0.0F;

  NewRows(Scratch::Frame& frame, int64_t n_rows, int64_t n_cols, Forms forms);
  /// Columns [begin, begin + count) of row t; begin and, but at the row's end, count are multiples of 32.
  void set(const Context& context, int64_t t, int64_t begin, int64_t count, const float* x) const;
  Rows rows() const { return {n, cols, floats, int8}; }
};

/// x as Rows, after an optional norm.
Rows make_rows(const Context& context, Scratch::Frame& frame, const std::optional<Norm>& norm,
               const float* x, int64_t n, int64_t cols, Forms forms);

/// Rows [begin, begin + n) of w.
kernels::Matrix rows_of(kernels::Matrix w, int64_t begin, int64_t n);

/// Calls body(rows as kernels read them, the first one's number) for all rows of w on the calling thread: once, or strip by
/// strip where kernels do not read w as it lies.
using StripBody = std::function<void(const kernels::Matrix& rows, int64_t first)>;
void for_each_strip(const Context& context, const kernels::Matrix& w, const StripBody& body);

/// out[w.cols] = row `row` of w.
void dequantize_row(const Context& context, const kernels::Matrix& w, int64_t row, float* out);

/// y[t * y_stride + r] = w[r] . x[t] (+ bias[r]) on the calling thread; bias may be null.
void multiply(const Context& context, const kernels::Matrix& w, const float* bias, const Rows& x,
              float* y, int64_t y_stride);

/// How many of `rows` rows a thread takes at a time: whole panels for many tokens, and for few enough work to
/// outweigh the hand-over.
int64_t rows_at_a_time(const Context& context, int64_t rows, int64_t n_tokens);
/// The most rows times tokens that this makes of any number of tokens up to n_tokens.
int64_t most_results_at_a_time(int64_t n_tokens);

/// One of several products with the same activations.
struct Product {
  kernels::Matrix w;
  const float* bias = nullptr;  ///< [w.rows], or null
  float* y = nullptr;           ///< [n] rows of w.rows, y_stride apart
  int64_t y_stride = 0;
};

/// All of them, split over the pool.
void multiply_all(const Context& context, std::span<const Product> products, const Rows& x);

/// out = residual + end(y), the residual optional; y: [n, width], overwritten; out may be residual.
void finish_rows(const Context& context, const BlockEnd& end, float* y, const float* residual,
                 int64_t n, int64_t width, float* out);

}  // namespace sluice::ops
