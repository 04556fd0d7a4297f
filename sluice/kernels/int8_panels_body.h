#pragma once

// The 8-bit product for many tokens: panels of rows are unpacked once, their codes interleaved by fours, and
// multiplied with tiles of tokens.

#include "sluice/kernels/codes_body.h"
#include "sluice/kernels/int8_row.h"

namespace sluice::kernels {
namespace {

constexpr int kPanelRows = 16 * kPanelVectors;
constexpr int kRunVectors = 8;  // unpacked from a row at a time: 512 columns

/// kPanelRows rows, unpacked: codes [cols / 4][kPanelRows][4], scales and biases [groups][kPanelRows].
struct Panel {
  std::byte* codes;
  float* scales;
  float* biases;
  int64_t n_groups;

  Panel(std::byte* scratch, int64_t cols, int group)
      : codes(scratch),
        scales(reinterpret_cast<float*>(scratch + Int8Row{cols}.padded_cols() * kPanelRows)),
        biases(scales + Int8Row{cols}.groups(group) * kPanelRows),
        n_groups(cols / group) {}
};

/// Vectors [first, first + count) of a row's codes, meanwhile asking for those `ahead` bytes on.
template <class F>
[[gnu::always_inline]] inline void load_run(const std::byte* row, int64_t cols, int64_t first,
                                            int64_t count, int64_t ahead, std::byte* run) {
  const std::byte* p = row + first / F::kVectors * F::kBlockBytes;
  prefetch(p, ahead, kRunVectors / F::kVectors * F::kBlockBytes);
  for (int64_t v = 0; v < count; v += F::kVectors, p += F::kBlockBytes) {
    const int64_t left = cols - 64 * (first + v);
    if (left < 64) {
      store_bytes(run + 64 * v, last_codes<F>(p, left));
      continue;
    }
    unrolled<F::kVectors>([&](auto i) __attribute__((always_inline)) {
      store_bytes(run + 64 * (v + i), F::template codes<i>(p));
    });
  }
}

/// Codes of rows [begin, begin + n) as vector `part` of a panel; rows beyond n are zeros. Sixteen rows side by side are
/// too many streams for the processor to follow, so each run asks for the next one, the last for the next sixteen rows'.
template <class F>
void unpack_codes(const Matrix& w, int64_t begin, int64_t n, int part, const Panel& panel) {
  constexpr int64_t kRunBytes = kRunVectors / F::kVectors * F::kBlockBytes;
  const int64_t n_vectors = (w.cols + 63) / 64;
  alignas(64) std::byte run[16][kRunVectors * 64];
  for (int64_t r = n; r < 16; ++r) std::memset(run[r], 0, sizeof run[r]);
  for (int64_t first = 0; first < n_vectors; first += kRunVectors) {
    const int64_t left = n_vectors - first, count = left < kRunVectors ? left : kRunVectors;
    const int64_t ahead =
        left > kRunVectors ? kRunBytes : 16 * w.row_bytes - first / kRunVectors * kRunBytes;
    for (int64_t r = 0; r < n; ++r) {
      load_run<F>(row_of(w, begin + r).data, w.cols, first, count, ahead, run[r]);
    }
    for (int64_t v = 0; v < count; ++v) {
      i32x16 lanes[16];
      for (int r = 0; r < 16; ++r) lanes[r] = int_lanes(run[r] + 64 * v);
      transpose(lanes);
      std::byte* out = panel.codes + ((first + v) * 16 * kPanelVectors + part) * 64;
      for (int k = 0; k < 16; ++k) std::memcpy(out + k * kPanelVectors * 64, &lanes[k], 64);
    }
  }
}

/// Their scales and biases.
template <class F>
void unpack_scales(const Matrix& w, int64_t begin, int64_t n, int part, const Panel& panel) {
  for (int64_t first = 0; first < panel.n_groups; first += 16) {
    const int64_t count = panel.n_groups - first < 16 ? panel.n_groups - first : 16;
    i32x16 scale[16], bias[16];
    for (int r = 0; r < 16; ++r) {
      f32x16 s = splat(0.0F), b = splat(0.0F);
      if (r < n) F::template scales<16>(row_of(w, begin + r), first, count, s, b);
      scale[r] = bits(s);
      bias[r] = bits(b);
    }
    transpose(scale);
    if constexpr (F::kHasBias) transpose(bias);
    for (int64_t g = 0; g < count; ++g) {
      store(panel.scales + (first + g) * kPanelRows + 16 * part, floats(scale[g]));
      if constexpr (F::kHasBias) {
        store(panel.biases + (first + g) * kPanelRows + 16 * part, floats(bias[g]));
      }
    }
  }
}

template <class F>
void unpack_rows(const Matrix& w, int64_t begin, int64_t n, int part, const Panel& panel) {
  for (int64_t r = begin; r < begin + n; ++r) {
    const Row row = row_of(w, r);
    if (row.scales != nullptr) prefetch(row.scales, 0, w.scale_row_bytes);
    if (row.biases != nullptr) prefetch(row.biases, 0, w.scale_row_bytes);
  }
  unpack_codes<F>(w, begin, n, part, panel);
  unpack_scales<F>(w, begin, n, part, panel);
}

inline float float_at(const std::byte* p, int64_t i) { return load_as<float>(p + 4 * i); }

/// What a tile needs of a format; formats alike in it share the code.
template <int group, int zero_shift, bool has_bias, bool wide>
struct PanelForm {
  static constexpr int kGroup = group;
  static constexpr int kZeroShift = zero_shift;
  static constexpr bool kHasBias = has_bias;
  static constexpr bool kWide = wide;
};
template <class F>
using PanelFormOf = PanelForm<F::kGroup, F::kZeroShift, F::kHasBias, F::kWide>;

template <int n_tokens>
using Dots = i32x16[n_tokens][kPanelVectors];
/// The sixteen partial sums.
template <int n_tokens>
using Classes = float[16][n_tokens][kPanelRows];

/// Adds group g's products of codes and x.
template <class Form, int n_tokens>
[[gnu::always_inline]] inline void add_dots(const std::byte* codes, int64_t g,
                                            const std::byte* const* x, Dots<n_tokens>& dots) {
#pragma GCC unroll kPanelSteps
  for (int k = 0; k < Form::kGroup; k += 4, codes += 64 * kPanelVectors) {
    u8x64 w[kPanelVectors];
    for (int v = 0; v < kPanelVectors; ++v) w[v] = load_bytes64(codes + 64 * v);
    for (int t = 0; t < n_tokens; ++t) {
      const auto four = load_as<int32_t>(x[t] + g * Form::kGroup + k);
      for (int v = 0; v < kPanelVectors; ++v) {
        dots[t][v] = dot4_each<Form::kWide>(dots[t][v], w[v], four);
      }
    }
  }
}

/// Sixteen groups from `first`, or as many as there are, each into its own partial sum.
template <class Form, bool first_batch, int n_tokens>
[[gnu::always_inline]] inline void add_batch(const Panel& panel, const Int8Row& row, int64_t first,
                                             const std::byte* const* x,
                                             Classes<n_tokens>& classes) {
  const int64_t offset = row.group_offset(Form::kGroup), n_entries = row.groups(Form::kGroup);
  const int64_t count = panel.n_groups - first < 16 ? panel.n_groups - first : 16;
  alignas(64) int32_t start[n_tokens][16];  // what the weights' zero takes away
  if constexpr (Form::kZeroShift > 0) {
    for (int t = 0; t < n_tokens; ++t) {
      const i32x16 sums = int_lanes(x[t] + offset + 4 * (n_entries + first));
      const i32x16 less = splat_int(0) - shift_left<Form::kZeroShift>(sums);
      std::memcpy(start[t], &less, sizeof start[t]);
    }
  }
  for (int64_t c = 0; c < count; ++c) {
    const int64_t g = first + c;
    Dots<n_tokens> dots;
    for (int t = 0; t < n_tokens; ++t) {
      for (int v = 0; v < kPanelVectors; ++v) {
        dots[t][v] = splat_int(Form::kZeroShift > 0 ? start[t][c] : 0);
      }
    }
    add_dots<Form, n_tokens>(panel.codes + g * (Form::kGroup * kPanelRows), g, x, dots);
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

/// One panel times n_tokens tokens; only the first n_rows rows are written.
template <class Form, int n_tokens>
void panel_tile(const Panel& panel, const std::byte* const* all_x, int64_t cols, int64_t n_rows,
                float* y, int64_t y_stride) {
  alignas(64) Classes<n_tokens> classes;
  for (int64_t c = panel.n_groups; c < 16; ++c) std::memset(classes[c], 0, sizeof classes[c]);
  const Int8Row row{cols};
  const std::byte* x[n_tokens];
  for (int t = 0; t < n_tokens; ++t) x[t] = all_x[t];
  add_batch<Form, true, n_tokens>(panel, row, 0, x, classes);
  for (int64_t first = 16; first < panel.n_groups; first += 16) {
    add_batch<Form, false, n_tokens>(panel, row, first, x, classes);
  }
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

template <class Form>
void panel_tiles(const Panel& panel, const std::byte* const* x, int64_t cols, int64_t n_tokens,
                 int64_t n_rows, float* y, int64_t y_stride) {
  for (int64_t t = 0; t < n_tokens; t += kPanelTokens) {
    const int64_t left = n_tokens - t < kPanelTokens ? n_tokens - t : kPanelTokens;
    unrolled<kPanelTokens>([&](auto i) __attribute__((always_inline)) {
      if (left == i + 1) {
        panel_tile<Form, i + 1>(panel, x + t, cols, n_rows, y + t * y_stride, y_stride);
      }
    });
  }
}

template <class F>
void many_int8_rows(const Matrix& w, int64_t begin, int64_t end, const std::byte* const* x,
                    int64_t n_tokens, float* y, int64_t y_stride, std::byte* scratch) {
  const Panel panel(scratch, w.cols, F::kGroup);
  for (int64_t r = begin; r < end; r += kPanelRows) {
    const int64_t n_rows = end - r < kPanelRows ? end - r : kPanelRows;
    for (int part = 0; part < kPanelVectors; ++part) {
      const int64_t left = n_rows - 16 * part;
      unpack_rows<F>(w, r + 16 * part, left < 0 ? 0 : left < 16 ? left : 16, part, panel);
    }
    panel_tiles<PanelFormOf<F>>(panel, x, w.cols, n_tokens, n_rows, y + r, y_stride);
  }
}

}  // namespace
}  // namespace sluice::kernels
