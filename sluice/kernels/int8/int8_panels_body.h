#pragma once

// The 8-bit product for many tokens: panels of rows are unpacked once and multiplied with tiles of tokens.

#include "sluice/kernels/float/elementwise_body.h"
#include "sluice/kernels/int8/int8_unpack_body.h"

namespace sluice::kernels {
namespace {

constexpr int64_t kTokensOfRuns = 16;  // so many are multiplied run by run where kPanelInRegisters
constexpr int64_t kTileSums = 16 * kPanelTokens * kPanelRows;

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

/// Some of a panel's columns: groups [begin, end), whose codes it holds now; begin is a multiple of 16. Meanwhile,
/// if it `asks`, the lines from `next` on are asked for, so many per group of each tile.
struct Part {
  const Panel& panel;
  int64_t begin, end;
  const std::byte* next;
  int64_t lines;
};

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
template <class Form, bool asks, bool first_batch, int n_tokens>
[[gnu::always_inline]] inline void add_batch(const Part& part, const Int8Row& row, int64_t first,
                                             const std::byte* const* x,
                                             Classes<n_tokens>& classes) {
  const Panel panel = part.panel;  // a copy: what is stored might be it
  const std::byte* next = part.next + (first - part.begin) * part.lines * 64;
  const int64_t lines = part.lines;
  const std::byte* codes = panel.codes + (first - part.begin) * (Form::kGroup * kPanelRows);
  const int64_t offset = row.group_offset(Form::kGroup), n_entries = row.groups(Form::kGroup);
  const int64_t count = panel.n_groups - first < 16 ? panel.n_groups - first : 16;
  alignas(64) Starts<n_tokens> starts;
  for (int t = 0; t < n_tokens; ++t) {
    start_dots<Form>(codes, first, row, x[t], starts[0][t], n_tokens * kPanelRows);
  }
  for (int64_t c = 0; c < count; ++c) {
    const int64_t g = first + c;
    if constexpr (asks) prefetch_far(next + c * lines * 64, lines);
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

/// A part of a panel times n_tokens tokens, added to their partial sums; the last part gives the results.
template <class Form, bool asks, int n_tokens>
void multiply_tile(const Part& part, const std::byte* const* all_x, int64_t cols, int64_t n_rows,
                   Classes<n_tokens>& classes, float* y, int64_t y_stride) {
  const Int8Row row{cols};
  const std::byte* x[n_tokens];
  for (int t = 0; t < n_tokens; ++t) x[t] = all_x[t];
  int64_t first = part.begin;
  if (first == 0) {
    for (int64_t c = part.panel.n_groups; c < 16; ++c)
      std::memset(classes[c], 0, sizeof classes[c]);
    add_batch<Form, asks, true, n_tokens>(part, row, 0, x, classes);
    first = 16;
  }
  for (; first < part.end; first += 16) {
    add_batch<Form, asks, false, n_tokens>(part, row, first, x, classes);
  }
  if (part.end == part.panel.n_groups) finish_tile<n_tokens>(classes, n_rows, y, y_stride);
}

/// The same for any number of tokens; each tile's partial sums are sums_apart floats after those of the one before.
template <class Form, bool asks>
void multiply(Part part, const std::byte* const* x, int64_t cols, int64_t n_tokens, int64_t n_rows,
              float* sums, int64_t sums_apart, float* y, int64_t y_stride) {
  for (int64_t t = 0; t < n_tokens; t += kPanelTokens, sums += sums_apart) {
    const int64_t left = n_tokens - t < kPanelTokens ? n_tokens - t : kPanelTokens;
    unrolled<kPanelTokens>([&](auto i) __attribute__((always_inline)) {
      if (left == i + 1) {
        multiply_tile<Form, asks, i + 1>(part, x + t, cols, n_rows,
                                         *reinterpret_cast<Classes<i + 1>*>(sums), y + t * y_stride,
                                         y_stride);
      }
    });
    part.next += (part.end - part.begin) * part.lines * 64;
  }
}

/// Unpacks columns from `first` on of sixteen of the rows [r, r + n_rows), to column `to` of vector v. After a row's end the rows
/// that are `rows_on` rows later are asked for.
template <class F>
void unpack_run(const Matrix& w, int64_t r, int64_t n_rows, int v, int64_t first, int64_t to,
                int64_t rows_on, const Panel& panel) {
  const int64_t left = n_rows - 16 * v, n = left < 0 ? 0 : left < 16 ? left : 16;
  const int64_t ahead = first + kRunColumns < w.cols
                            ? kRunBytes<F>
                            : rows_on * w.row_bytes - first / kRunColumns * kRunBytes<F>;
  unpack_codes<F>({w, r + 16 * v, n, first, to, v, ahead}, panel);
}

/// For so many tokens that unpacking costs little: a whole panel is unpacked, then multiplied.
template <class F>
void many_int8_rows(const Matrix& w, int64_t begin, int64_t end, const std::byte* const* x,
                    int64_t n_tokens, float* y, int64_t y_stride, std::byte* scratch) {
  alignas(64) float sums[kTileSums];
  const Panel panel(scratch, w.cols, F::kGroup);
  for (int64_t r = begin; r < end; r += kPanelRows) {
    const int64_t n_rows = end - r < kPanelRows ? end - r : kPanelRows;
    prefetch_scales(w, r, n_rows);
    for (int v = 0; v < kPanelVectors; ++v) {
      for (int64_t first = 0; first < w.cols; first += kRunColumns) {
        unpack_run<F>(w, r, n_rows, v, first, first, 16, panel);
      }
    }
    unpack_all_scales<F>(w, r, n_rows, panel);
    multiply<PanelFormOf<F>, false>({panel, 0, panel.n_groups, nullptr, 0}, x, w.cols, n_tokens,
                                    n_rows, sums, 0, y + r, y_stride);
  }
}

/// For up to kTokensOfRuns, where memory is waited for: each run is multiplied while its codes are in the first cache, and
/// meanwhile the next panel is asked for, evenly.
template <class F>
void some_int8_rows(const Matrix& w, int64_t begin, int64_t end, const std::byte* const* x,
                    int64_t n_tokens, float* y, int64_t y_stride, std::byte* scratch) {
  alignas(64) float sums[kTokensOfRuns / kPanelTokens * kTileSums];
  const Panel panel(scratch, w.cols, F::kGroup);
  const int64_t n_tiles = (n_tokens + kPanelTokens - 1) / kPanelTokens;
  const int64_t places = panel.n_groups * n_tiles;  // where something is asked for
  for (int64_t r = begin; r < end; r += kPanelRows) {
    const int64_t n_rows = end - r < kPanelRows ? end - r : kPanelRows;
    const int64_t n_next = end - r - n_rows < kPanelRows ? end - r - n_rows : kPanelRows;
    const int64_t lines = (n_next * w.row_bytes / 64 + places - 1) / places;
    const std::byte* next = row_of(w, r + n_rows).data;
    if (n_next > 0) prefetch_scales(w, r + n_rows, n_next);
    for (int64_t first = 0; first < w.cols; first += kRunColumns) {
      for (int v = 0; v < kPanelVectors; ++v) {
        unpack_run<F>(w, r, n_rows, v, first, 0, kPanelRows, panel);
      }
      if (first == 0) unpack_all_scales<F>(w, r, n_rows, panel);
      const int64_t group = first / F::kGroup, left = panel.n_groups - group;
      const int64_t n = left < kRunColumns / F::kGroup ? left : kRunColumns / F::kGroup;
      multiply<PanelFormOf<F>, true>(
          {panel, group, group + n, next + group * n_tiles * lines * 64, lines}, x, w.cols,
          n_tokens, n_rows, sums, kTileSums, y + r, y_stride);
    }
  }
}

}  // namespace
}  // namespace sluice::kernels
