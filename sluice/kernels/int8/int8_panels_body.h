#pragma once

// The 8-bit product for more than sixteen tokens: panels of rows are unpacked once and multiplied with tiles of tokens.

#include "sluice/kernels/float/elementwise_body.h"
#include "sluice/kernels/int8/int8_unpack_body.h"

namespace sluice::kernels {
namespace {

inline float float_at(const std::byte* p, int64_t i) { return load_as<float>(p + 4 * i); }

/// What a tile needs of a format; formats alike in it share the code.
template <int group, int zero_shift, bool has_bias, bool wide, int word_products>
struct PanelForm {
  static constexpr int kGroup = group;
  static constexpr int kZeroShift = zero_shift;
  static constexpr bool kHasBias = has_bias;
  static constexpr bool kWide = wide;
  /// Columns whose products are summed in 16 bits before they go to 32; 0: sums have 32 bits.
  static constexpr int kWordColumns = wide || !kHasWordSums       ? 0
                                      : 2 * word_products < group ? 2 * word_products
                                                                  : group;
};
/// Sets without sums of 16 bits have no more code for them.
template <class F>
using PanelFormOf =
    PanelForm<F::kGroup, F::kZeroShift, F::kHasBias, F::kWide, kHasWordSums ? kWordProducts<F> : 0>;

template <int n_tokens>
using Dots = i32x16[n_tokens][kPanelVectors];
/// The sixteen partial sums.
template <int n_tokens>
using Classes = float[16][n_tokens][kPanelRows];

template <int n_tokens>
using Starts = int32_t[16][n_tokens][kPanelRows];

/// Where a batch's dot products start, of one token: with what the weights' zero takes away and with x's high parts. The
/// groups' lie `stride` apart.
template <class Form>
[[gnu::noinline]] void start_dots(const std::byte* codes, int64_t first, const Int8Row& row,
                                  const std::byte* x, int32_t* starts, int64_t stride) {
  alignas(64) int32_t less[16] = {};
  if constexpr (Form::kZeroShift > 0 || kSigned<Form>) {
    const std::byte* sums = x + row.group_offset(Form::kGroup) + 4 * row.groups(Form::kGroup);
    const i32x16 zeros = less_zero<Form>(splat_int(0), int_lanes(sums + 4 * first));
    std::memcpy(less, &zeros, sizeof less);
  }
  const auto store_ints = [](int32_t* to, i32x16 lanes) { std::memcpy(to, &lanes, sizeof lanes); };
  for (int c = 0; c < 16; ++c) {
    for (int v = 0; v < kPanelVectors; ++v) {
      store_ints(starts + c * stride + 16 * v, splat_int(less[c]));
    }
  }
  const std::byte* high = x + row.high_offset() + first * Form::kGroup;
  const std::byte* wide = x + row.wide_offset() + first * Form::kGroup / 32;
  for (int word = 0; word < Form::kGroup / 16; ++word) {
    for (auto fours = load_as<uint64_t>(wide + 8 * word); fours != 0; fours &= fours - 1) {
      const int i = 64 * word + __builtin_ctzll(fours);
      const auto four = load_as<int32_t>(high + 4 * i);
      for (int v = 0; v < kPanelVectors; ++v) {
        int32_t* start = starts + i * 4 / Form::kGroup * stride + 16 * v;
        const u8x64 w = as_multiplied<Form>(load_bytes64(codes + 64 * (i * kPanelVectors + v)));
        store_ints(start,
                   load_int(start) + shift_left<7>(dot4_each<Form::kWide>(splat_int(0), w, four)));
      }
    }
  }
}

/// add_dots() in sums of 16 bits, as many columns as fit.
template <class Form, int n_tokens>
[[gnu::always_inline]] inline void add_word_dots(const std::byte* codes, int64_t g,
                                                 const std::byte* const* x, Dots<n_tokens>& dots) {
  for (int k = 0; k < Form::kGroup; k += Form::kWordColumns) {
    WordSums words[n_tokens][kPanelVectors] = {};
#pragma GCC unroll kPanelSteps
    for (int c = 0; c < Form::kWordColumns; c += 4, codes += 64 * kPanelVectors) {
      u8x64 w[kPanelVectors];
      for (int v = 0; v < kPanelVectors; ++v) w[v] = load_bytes64(codes + 64 * v);
      for (int t = 0; t < n_tokens; ++t) {
        const auto four = load_as<int32_t>(x[t] + g * Form::kGroup + k + c);
        for (int v = 0; v < kPanelVectors; ++v)
          words[t][v] = word_dot_each(words[t][v], w[v], four);
      }
    }
    for (int t = 0; t < n_tokens; ++t) {
      for (int v = 0; v < kPanelVectors; ++v) dots[t][v] = dots[t][v] + widen_sums(words[t][v]);
    }
  }
}

/// Adds group g's products of codes and x.
template <class Form, int n_tokens>
[[gnu::always_inline]] inline void add_dots(const std::byte* codes, int64_t g,
                                            const std::byte* const* x, Dots<n_tokens>& dots) {
  if constexpr (Form::kWordColumns > 8) return add_word_dots<Form, n_tokens>(codes, g, x, dots);
#pragma GCC unroll kPanelSteps / 2
  for (int k = 0; k < Form::kGroup; k += 8, codes += 2 * 64 * kPanelVectors) {
    u8x64 w[2 * kPanelVectors];
    for (int v = 0; v < 2 * kPanelVectors; ++v)
      w[v] = as_multiplied<Form>(load_bytes64(codes + 64 * v));
    for (int t = 0; t < n_tokens; ++t) {
      const std::byte* at = x[t] + g * Form::kGroup + k;
      const auto four = load_as<int32_t>(at), later = load_as<int32_t>(at + 4);
      for (int v = 0; v < kPanelVectors; ++v) {
        dots[t][v] = dot8_each<Form::kWide>(dots[t][v], w[v], four, w[kPanelVectors + v], later);
      }
    }
  }
}

/// Sixteen groups from `first`, or as many as there are, each into its own partial sum.
template <class Form, bool first_batch, int n_tokens>
[[gnu::always_inline]] inline void add_batch(const Panel& all, const Int8Row& row, int64_t first,
                                             const std::byte* const* x,
                                             Classes<n_tokens>& classes) {
  const Panel panel = all;  // a copy: what is stored might be it
  const std::byte* codes = panel.codes + first * (Form::kGroup * kPanelRows);
  const int64_t offset = row.group_offset(Form::kGroup), n_entries = row.groups(Form::kGroup);
  const int64_t count = panel.n_groups - first < 16 ? panel.n_groups - first : 16;
  alignas(64) Starts<n_tokens> starts;
  for (int t = 0; t < n_tokens; ++t) {
    start_dots<Form>(codes, first, row, x[t], starts[0][t], n_tokens * kPanelRows);
  }
  for (int64_t c = 0; c < count; ++c) {
    const int64_t g = first + c;
    Dots<n_tokens> dots;
    for (int t = 0; t < n_tokens; ++t) {
      for (int v = 0; v < kPanelVectors; ++v) {
        dots[t][v] = load_int(starts[c][t] + 16 * v);
      }
    }
    add_dots<Form, n_tokens>(codes + c * (Form::kGroup * kPanelRows), g, x, dots);
    f32x16 scale[kPanelVectors], bias[kPanelVectors];
    for (int v = 0; v < kPanelVectors; ++v) {
      scale[v] = load(panel.scales + g * kPanelRows + 16 * v);
      if constexpr (Form::kHasBias) bias[v] = load(panel.biases + g * kPanelRows + 16 * v);
    }
    for (int t = 0; t < n_tokens; ++t) {
      const std::byte* groups = x[t] + offset;
      const f32x16 x_scale = splat(float_at(groups, g));
      for (int v = 0; v < kPanelVectors; ++v) {
        float* at = classes[c][t] + 16 * v;
        f32x16 sum = first_batch ? splat(0.0F) : load(at);
        sum = mul_add(to_float(dots[t][v]), scale[v] * x_scale, sum);
        if constexpr (Form::kHasBias) {
          sum = mul_add(bias[v], splat(float_at(groups, 2 * n_entries + g)), sum);
        }
        store(at, sum);
      }
    }
  }
}

/// The tree over the partial sums; only the first n_rows rows are written.
template <int n_tokens>
void finish_tile(const Classes<n_tokens>& classes, int64_t n_rows, float* y, int64_t y_stride) {
  for (int t = 0; t < n_tokens; ++t) {
    for (int v = 0; v < kPanelVectors && 16 * v < n_rows; ++v) {
      f32x16 sum[16];
      for (int c = 0; c < 16; ++c) sum[c] = load(classes[c][t] + 16 * v);
      for (int half = 8; half > 0; half /= 2) {
        for (int c = 0; c < half; ++c) sum[c] = sum[c] + sum[c + half];
      }
      store_lanes(y + t * y_stride + 16 * v, sum[0], n_rows - 16 * v < 16 ? n_rows - 16 * v : 16);
    }
  }
}

/// A panel times n_tokens tokens.
template <class Form, int n_tokens>
void multiply_tile(const Panel& panel, const std::byte* const* all_x, int64_t cols, int64_t n_rows,
                   float* y, int64_t y_stride) {
  alignas(64) Classes<n_tokens> classes;
  const Int8Row row{cols};
  const std::byte* x[n_tokens];
  for (int t = 0; t < n_tokens; ++t) x[t] = all_x[t];
  for (int64_t c = panel.n_groups; c < 16; ++c) std::memset(classes[c], 0, sizeof classes[c]);
  add_batch<Form, true, n_tokens>(panel, row, 0, x, classes);
  for (int64_t first = 16; first < panel.n_groups; first += 16) {
    add_batch<Form, false, n_tokens>(panel, row, first, x, classes);
  }
  finish_tile<n_tokens>(classes, n_rows, y, y_stride);
}

/// The same for any number of tokens.
template <class Form>
void multiply(const Panel& panel, const std::byte* const* x, int64_t cols, int64_t n_tokens,
              int64_t n_rows, float* y, int64_t y_stride) {
  for (int64_t t = 0; t < n_tokens; t += kPanelTokens) {
    const int64_t left = n_tokens - t < kPanelTokens ? n_tokens - t : kPanelTokens;
    unrolled<kPanelTokens>([&](auto i) __attribute__((always_inline)) {
      if (left == i + 1) {
        multiply_tile<Form, i + 1>(panel, x + t, cols, n_rows, y + t * y_stride, y_stride);
      }
    });
  }
}

/// Unpacks columns from `first` on of sixteen of the rows [r, r + n_rows), as vector v. After a row's end the rows that are
/// sixteen rows later are asked for.
template <class F>
void unpack_run(const Matrix& w, int64_t r, int64_t n_rows, int v, int64_t first,
                const Panel& panel) {
  const int64_t left = n_rows - 16 * v, n = left < 0 ? 0 : left < 16 ? left : 16;
  const int64_t ahead = first + kRunColumns < w.cols
                            ? kRunBytes<F>
                            : 16 * w.row_bytes - first / kRunColumns * kRunBytes<F>;
  unpack_codes<F>({w, r + 16 * v, n, first, v, ahead}, panel);
}

template <class F>
void many_int8_rows(const Matrix& w, int64_t begin, int64_t end, const std::byte* const* x,
                    int64_t n_tokens, float* y, int64_t y_stride, std::byte* scratch) {
  const Panel panel(scratch, w.cols, F::kGroup);
  for (int64_t r = begin; r < end; r += kPanelRows) {
    const int64_t n_rows = end - r < kPanelRows ? end - r : kPanelRows;
    prefetch_scales(w, r, n_rows);
    for (int v = 0; v < kPanelVectors; ++v) {
      for (int64_t first = 0; first < w.cols; first += kRunColumns) {
        unpack_run<F>(w, r, n_rows, v, first, panel);
      }
    }
    unpack_all_scales<F>(w, r, n_rows, panel);
    multiply<PanelFormOf<F>>(panel, x, w.cols, n_tokens, n_rows, y + r, y_stride);
  }
}

}  // namespace
}  // namespace sluice::kernels
