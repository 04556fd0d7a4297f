#pragma once

// y = x w^T on 8-bit activations (int8_row.h), for quantized weights. Per group: an exact integer dot product,
// to which weight scale times activation scale, and bias times the activations' scaled sum, are applied; sixteen
// partial sums by group mod 16, groups ascending, then the tree of kernels.h. One or two tokens: a row's codes go
// through registers. More: panels of rows are unpacked once, their codes interleaved by fours, and multiplied
// with tiles of tokens.

#include "sluice/kernels/codes_body.h"
#include "sluice/kernels/elementwise_body.h"
#include "sluice/kernels/int8_row.h"
#include "sluice/kernels/matmul_body.h"

namespace sluice::kernels {
namespace {

constexpr int kFewInt8Tokens = 2;
constexpr int kPanelRows = 16 * kPanelVectors;
constexpr int kRunVectors = 8;  // unpacked from a row at a time: 512 columns

// ---- activations

inline i32x16 to_nearest_int(f32x16 a) {
  const f32x16 magic = splat(0x1.8p23F);
  return bits(a + magic) - bits(magic);
}

/// Columns beyond `cols` are zeros, up to the next multiple of 64, and so are groups up to the next multiple of 16.
inline void quantize(const float* x, int64_t begin, int64_t end, int64_t cols,
                     std::byte* out) noexcept {
  const Int8Row row{cols};
  std::byte *of32 = out + row.group_offset(32), *of16 = out + row.group_offset(16);
  const int64_t n32 = row.groups(32), n16 = row.groups(16);
  const auto set = [](std::byte* arrays, int64_t n, int64_t group, float scale, float sum) {
    const auto whole = static_cast<int32_t>(sum);
    const float scaled = sum * scale;
    std::memcpy(arrays + 4 * group, &scale, 4);
    std::memcpy(arrays + 4 * (n + group), &whole, 4);
    std::memcpy(arrays + 4 * (2 * n + group), &scaled, 4);
  };
  const int64_t padded = end == cols ? row.padded_cols() : end;
  if (end == cols) {
    for (int64_t g = padded / 32; g < n32; ++g) set(of32, n32, g, 0.0F, 0.0F);
    for (int64_t g = padded / 16; g < n16; ++g) set(of16, n16, g, 0.0F, 0.0F);
  }
  for (int64_t k = begin; k < padded; k += 32, x += 32) {
    const int64_t left = end - k;
    f32x16 a = splat(0.0F), b = splat(0.0F);
    if (left >= 16) a = load(x);
    if (left >= 32) b = load(x + 16);
    if (left > 0 && left < 16) a = load_some(x, left);
    if (left > 16 && left < 32) b = load_some(x + 16, left - 16);
    // NaN is larger than everything here, so that it is not lost.
    const f32x16 magnitude = if_less(absolute(a), absolute(b), absolute(b), absolute(a));
    const float largest = tree_max(magnitude);
    const float check = tree_sum(a * splat(0.0F) + b * splat(0.0F));
    float scale = largest / 127.0F, inverse = 127.0F / largest;
    if (!(largest > 0x1p-100F)) scale = inverse = 0.0F;
    if (check != 0.0F) {  // not finite: the group's results are NaN
      scale = __builtin_nanf("");
      inverse = 0.0F;
      a = b = splat(0.0F);
    }
    const i32x16 p = to_nearest_int(a * splat(inverse)), q = to_nearest_int(b * splat(inverse));
    store_int8(out + k, p);
    store_int8(out + k + 16, q);
    const float sum_p = tree_sum(to_float(p)), sum_q = tree_sum(to_float(q));
    set(of32, n32, k / 32, scale, sum_p + sum_q);
    set(of16, n16, k / 16, scale, sum_p);
    set(of16, n16, k / 16 + 1, scale, sum_q);
  }
}

// ---- few tokens

template <int group>
[[gnu::always_inline]] inline i32x16 group_sums(const i32x16* parts) {
  if constexpr (group == 32) {
    return sums_of_8(parts);
  } else {
    return sums_of_4(parts);
  }
}

/// A row's last columns, fewer than 64, zeros after them.
template <class F>
inline u8x64 last_codes(const std::byte* p, int64_t n) {
  std::byte block[F::kBlockBytes] = {};
  std::memcpy(block, p, static_cast<size_t>(n * F::kBlockBytes / 64));
  return F::template codes<0>(block);
}

/// What a row's product with n_tokens tokens needs at hand.
template <class F, int n_tokens>
struct RowProduct {
  static constexpr int kVectors = F::kGroup * 16 / 64;  // for sixteen groups

  Row row;
  const std::byte* x[n_tokens];
  const std::byte* groups[n_tokens];  // scales; sums and scaled sums follow
  int64_t n_groups;                   // entries of each
  f32x16 sums[n_tokens];

  RowProduct(const Matrix& w, int64_t r, const std::byte* const* rows)
      : row(row_of(w, r)), n_groups(Int8Row{w.cols}.groups(F::kGroup)) {
    for (int t = 0; t < n_tokens; ++t) {
      x[t] = rows[t];
      groups[t] = rows[t] + Int8Row{w.cols}.group_offset(F::kGroup);
      sums[t] = splat(0.0F);
    }
  }

  /// parts: [n_tokens][kVectors] partial dot products of groups [first, first + 16).
  [[gnu::always_inline]] void add(int64_t first, const i32x16 (*parts)[kVectors], f32x16 scale,
                                  f32x16 bias) {
    for (int t = 0; t < n_tokens; ++t) {
      i32x16 dots = group_sums<F::kGroup>(parts[t]);
      const std::byte* at = groups[t] + 4 * first;
      if constexpr (F::kZeroShift > 0) {
        dots = dots - shift_left<F::kZeroShift>(int_lanes(at + 4 * n_groups));
      }
      sums[t] = mul_add(to_float(dots), scale * load(at), sums[t]);
      if constexpr (F::kHasBias) sums[t] = mul_add(bias, load(at + 8 * n_groups), sums[t]);
    }
  }

  [[gnu::always_inline]] void add_sixteen(int64_t first) {
    const int64_t vector = first / 16 * kVectors;
    const std::byte* p = row.data + vector / F::kVectors * F::kBlockBytes;
    const uintptr_t ahead = reinterpret_cast<uintptr_t>(p) + kPrefetchBytes;
    for (int line = 0; line < kVectors / F::kVectors * F::kBlockBytes; line += 64) {
      __builtin_prefetch(reinterpret_cast<const void*>(ahead + static_cast<uintptr_t>(line)));
    }
    i32x16 parts[n_tokens][kVectors];
    unrolled<kVectors>([&](auto v) __attribute__((always_inline)) {
      const u8x64 codes = F::template codes<v % F::kVectors>(p + v / F::kVectors * F::kBlockBytes);
      for (int t = 0; t < n_tokens; ++t) {
        parts[t][v] = dot4<F::kWide>(splat_int(0), codes, x[t] + 64 * (vector + v));
      }
    });
    f32x16 scale, bias = splat(0.0F);
    F::template scales<true>(row, first, 16, scale, bias);
    add(first, parts, scale, bias);
  }

  /// The row's last n < 16 groups.
  void add_last(int64_t first, int64_t n) {
    const int64_t vector = first / 16 * kVectors;
    const std::byte* p = row.data + vector / F::kVectors * F::kBlockBytes;
    i32x16 parts[n_tokens][kVectors];
    unrolled<kVectors>([&](auto v) __attribute__((always_inline)) {
      const std::byte* at = p + v / F::kVectors * F::kBlockBytes;
      const int64_t left = n * F::kGroup - 64 * v;
      for (int t = 0; t < n_tokens; ++t) parts[t][v] = splat_int(0);
      if (left <= 0) return;
      const u8x64 codes = left >= 64 || F::kVectors > 1 ? F::template codes<v % F::kVectors>(at)
                                                        : last_codes<F>(at, left);
      for (int t = 0; t < n_tokens; ++t) {
        parts[t][v] = dot4<F::kWide>(splat_int(0), codes, x[t] + 64 * (vector + v));
      }
    });
    f32x16 scale, bias = splat(0.0F);
    F::template scales<false>(row, first, n, scale, bias);
    add(first, parts, scale, bias);
  }
};

/// Asks for the scales of a row that comes kPrefetchBytes later: a stream too thin for the processor to follow.
inline void prefetch_scales(const Matrix& w, const std::byte* scales) {
  const int64_t rows_ahead = kPrefetchBytes / w.row_bytes + 1;
  const auto at = reinterpret_cast<uintptr_t>(scales) +
                  static_cast<uintptr_t>(rows_ahead * w.scale_row_bytes);
  for (int64_t line = 0; line < w.scale_row_bytes; line += 64) {
    __builtin_prefetch(reinterpret_cast<const void*>(at + static_cast<uintptr_t>(line)));
  }
}

template <class F, int n_tokens>
inline void few_row(const Matrix& w, int64_t r, const std::byte* const* x, float* y,
                    int64_t y_stride) {
  RowProduct<F, n_tokens> product(w, r, x);
  const int64_t n_groups = w.cols / F::kGroup, whole = n_groups / 16 * 16;
  if (w.scales != nullptr) prefetch_scales(w, product.row.scales);
  if (w.biases != nullptr) prefetch_scales(w, product.row.biases);
  for (int64_t first = 0; first < whole; first += 16) product.add_sixteen(first);
  if (whole < n_groups) product.add_last(whole, n_groups - whole);
  for (int t = 0; t < n_tokens; ++t) y[t * y_stride + r] = tree_sum(product.sums[t]);
}

template <class F>
void few_int8_rows(const Matrix& w, int64_t begin, int64_t end, const std::byte* const* x,
                   int64_t n_tokens, float* y, int64_t y_stride) {
  if (n_tokens == 1) {
    for (int64_t r = begin; r < end; ++r) few_row<F, 1>(w, r, x, y, y_stride);
  } else {
    for (int64_t r = begin; r < end; ++r) few_row<F, 2>(w, r, x, y, y_stride);
  }
}

// ---- many tokens

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

/// Rows [begin, begin + n) as vector `part` of a panel; rows beyond n are zeros.
template <class F>
void unpack_rows(const Matrix& w, int64_t begin, int64_t n, int part, const Panel& panel) {
  const int64_t n_vectors = (w.cols + 63) / 64;
  alignas(64) std::byte run[16][kRunVectors * 64];
  for (int64_t first = 0; first < n_vectors; first += kRunVectors) {
    const int64_t count = n_vectors - first < kRunVectors ? n_vectors - first : kRunVectors;
    for (int64_t r = 0; r < 16; ++r) {
      if (r >= n) {
        std::memset(run[r], 0, sizeof run[r]);
        continue;
      }
      const std::byte* p = row_of(w, begin + r).data + first / F::kVectors * F::kBlockBytes;
      for (int64_t v = 0; v < count; v += F::kVectors, p += F::kBlockBytes) {
        const int64_t left = w.cols - 64 * (first + v);
        if (left < 64) {
          store_bytes(run[r] + 64 * v, last_codes<F>(p, left));
          continue;
        }
        unrolled<F::kVectors>([&](auto i) __attribute__((always_inline)) {
          store_bytes(run[r] + 64 * (v + i), F::template codes<i>(p));
        });
      }
    }
    for (int64_t v = 0; v < count; ++v) {
      i32x16 lanes[16];
      for (int r = 0; r < 16; ++r) lanes[r] = int_lanes(run[r] + 64 * v);
      transpose(lanes);
      std::byte* out = panel.codes + ((first + v) * 16 * kPanelVectors + part) * 64;
      for (int k = 0; k < 16; ++k) std::memcpy(out + k * kPanelVectors * 64, &lanes[k], 64);
    }
  }
  for (int64_t first = 0; first < panel.n_groups; first += 16) {
    const int64_t count = panel.n_groups - first < 16 ? panel.n_groups - first : 16;
    i32x16 scale[16], bias[16];
    for (int r = 0; r < 16; ++r) {
      f32x16 s = splat(0.0F), b = splat(0.0F);
      if (r < n && count == 16) {
        F::template scales<true>(row_of(w, begin + r), first, count, s, b);
      } else if (r < n) {
        F::template scales<false>(row_of(w, begin + r), first, count, s, b);
      }
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

inline float float_at(const std::byte* p, int64_t i) { return load_as<float>(p + 4 * i); }

/// One panel times n_tokens tokens; only the first n_rows rows are written.
template <class F, int n_tokens>
void panel_tile(const Panel& panel, const std::byte* const* x, int64_t cols, int64_t n_rows,
                float* y, int64_t y_stride) {
  constexpr int kV = kPanelVectors;
  alignas(64) float classes[16][n_tokens][kPanelRows];
  const int64_t n_groups = panel.n_groups;
  for (int64_t g = n_groups; g < 16; ++g) std::memset(classes[g], 0, sizeof classes[g]);
  const Int8Row row{cols};
  const int64_t offset = row.group_offset(F::kGroup), n_entries = row.groups(F::kGroup);
  const std::byte* codes = panel.codes;
  for (int64_t g = 0; g < n_groups; ++g) {
    i32x16 dots[n_tokens][kV];
    const int64_t k0 = g * F::kGroup;
    for (int t = 0; t < n_tokens; ++t) {
      int32_t start = 0;
      if constexpr (F::kZeroShift > 0) {
        start = -(load_as<int32_t>(x[t] + offset + 4 * (n_entries + g)) << F::kZeroShift);
      }
      for (int v = 0; v < kV; ++v) dots[t][v] = splat_int(start);
    }
#pragma GCC unroll 4
    for (int k = 0; k < F::kGroup; k += 4, codes += 64 * kV) {
      u8x64 w[kV];
      for (int v = 0; v < kV; ++v) w[v] = load_bytes64(codes + 64 * v);
      for (int t = 0; t < n_tokens; ++t) {
        const auto four = load_as<int32_t>(x[t] + k0 + k);
        for (int v = 0; v < kV; ++v) dots[t][v] = dot4_each<F::kWide>(dots[t][v], w[v], four);
      }
    }
    f32x16 scale[kV], bias[kV];
    for (int v = 0; v < kV; ++v) {
      scale[v] = load(panel.scales + g * kPanelRows + 16 * v);
      if constexpr (F::kHasBias) bias[v] = load(panel.biases + g * kPanelRows + 16 * v);
    }
    auto& sums = classes[g % 16];
    for (int t = 0; t < n_tokens; ++t) {
      const std::byte* groups = x[t] + offset;
      const f32x16 x_scale = splat(float_at(groups, g));
      for (int v = 0; v < kV; ++v) {
        float* at = sums[t] + 16 * v;
        f32x16 sum = g < 16 ? splat(0.0F) : load(at);
        sum = mul_add(to_float(dots[t][v]), scale[v] * x_scale, sum);
        if constexpr (F::kHasBias) {
          sum = mul_add(bias[v], splat(float_at(groups, 2 * n_entries + g)), sum);
        }
        store(at, sum);
      }
    }
  }
  for (int t = 0; t < n_tokens; ++t) {
    for (int v = 0; v < kV && 16 * v < n_rows; ++v) {
      f32x16 sum[16];
      for (int c = 0; c < 16; ++c) sum[c] = load(classes[c][t] + 16 * v);
      for (int half = 8; half > 0; half /= 2) {
        for (int c = 0; c < half; ++c) sum[c] = sum[c] + sum[c + half];
      }
      store_lanes(y + t * y_stride + 16 * v, sum[0], n_rows - 16 * v < 16 ? n_rows - 16 * v : 16);
    }
  }
}

template <class F>
void panel_tiles(const Panel& panel, const std::byte* const* x, int64_t cols, int64_t n_tokens,
                 int64_t n_rows, float* y, int64_t y_stride) {
  for (int64_t t = 0; t < n_tokens; t += kPanelTokens) {
    const int64_t left = n_tokens - t < kPanelTokens ? n_tokens - t : kPanelTokens;
    unrolled<kPanelTokens>([&](auto i) __attribute__((always_inline)) {
      if (left == i + 1) {
        panel_tile<F, i + 1>(panel, x + t, cols, n_rows, y + t * y_stride, y_stride);
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
    panel_tiles<F>(panel, x, w.cols, n_tokens, n_rows, y + r, y_stride);
  }
}

template <class F>
void int8_rows(const Matrix& w, int64_t begin, int64_t end, const std::byte* const* x,
               int64_t n_tokens, float* y, int64_t y_stride, std::byte* scratch) {
  if (n_tokens > kFewInt8Tokens) {
    many_int8_rows<F>(w, begin, end, x, n_tokens, y, y_stride, scratch);
  } else if (n_tokens > 0) {
    few_int8_rows<F>(w, begin, end, x, n_tokens, y, y_stride);
  }
}

using Int8Rows = void (*)(const Matrix&, int64_t, int64_t, const std::byte* const*, int64_t, float*,
                          int64_t, std::byte*);

inline Int8Rows int8_rows_of(const Matrix& w) {
  switch (w.format) {
    case Format::affine:
      switch (w.bits) {
        case 2:
          return int8_rows<AffineCodes<2>>;
        case 3:
          return int8_rows<AffineCodes<3>>;
        case 4:
          return int8_rows<AffineCodes<4>>;
        case 5:
          return int8_rows<AffineCodes<5>>;
        case 6:
          return int8_rows<AffineCodes<6>>;
        default:
          return int8_rows<AffineCodes<8>>;
      }
    case Format::mxfp4:
      return int8_rows<MxFp4Codes>;
    case Format::nvfp4:
      return int8_rows<NvFp4Codes>;
    case Format::q4_0:
      return int8_rows<Q4Codes<false>>;
    case Format::q4_1:
      return int8_rows<Q4Codes<true>>;
    case Format::q5_0:
      return int8_rows<Q5Codes<false>>;
    case Format::q5_1:
      return int8_rows<Q5Codes<true>>;
    case Format::q8_0:
      return int8_rows<Q8Codes>;
    case Format::q2_k:
      return int8_rows<Q2KCodes>;
    case Format::q3_k:
      return int8_rows<Q3KCodes>;
    case Format::q4_k:
      return int8_rows<Q4KCodes>;
    case Format::q5_k:
      return int8_rows<Q5KCodes>;
    case Format::q6_k:
      return int8_rows<Q6KCodes>;
    case Format::iq4_nl:
      return int8_rows<Iq4NlCodes>;
    case Format::iq4_xs:
      return int8_rows<Iq4XsCodes>;
    case Format::gguf_mxfp4:
      return int8_rows<GgufMxFp4Codes>;
    case Format::f32:
    case Format::f16:
    case Format::bf16:
    case Format::mxfp8:
      break;
  }
  return nullptr;
}

inline void matmul_int8(const Matrix& w, int64_t row_begin, int64_t row_end,
                        const std::byte* const* x, int64_t n_tokens, float* y, int64_t y_stride,
                        std::byte* scratch) noexcept {
  int8_rows_of(w)(w, row_begin, row_end, x, n_tokens, y, y_stride, scratch);
}

}  // namespace
}  // namespace sluice::kernels
