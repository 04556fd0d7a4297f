#pragma once

// y = x w^T in the canonical order of kernels.h: every (row, token) pair owns one vector of 16 partial
// sums, filled in ascending k, then summed by tree_sum. Few tokens: weights go from their packed form
// through registers into the products. Many tokens: runs of rows are decoded once into a buffer and
// multiplied with tiles of tokens; the partial sums wait in memory between runs.

#include "sluice/kernels/float/dequantize_gguf_body.h"

namespace sluice::kernels {
namespace {

constexpr int kFewTokens = 4;
constexpr int kRunColumns = 512;  // a multiple of every block size
constexpr int kPrefetchBytes = 8192;
constexpr int kBlockRows = 16;    // decoded at once: 32 KiB
constexpr int kBlockTokens = 96;  // share one decoding: 96 KiB of partial sums

/// What the two paths need of a format.
struct FormatKernels {
  /// out[0, n) = columns [begin, begin + n) of a row; begin a multiple of 16, n of the block or, at
  /// the end of a plain row, anything: zeros then fill the last 16.
  void (*decode)(const Row& row, int64_t begin, int64_t n, float* out);
  /// Rows [begin, end) for n_tokens <= kFewTokens.
  void (*few)(const Matrix& w, int64_t begin, int64_t end, const float* x, int64_t x_stride,
              int64_t n_tokens, float* y, int64_t y_stride);
};

inline f32x16 load_some(const float* p, int64_t n) {
  float padded[16] = {};
  std::memcpy(padded, p, static_cast<size_t>(n) * sizeof(float));
  return load(padded);
}
inline void store_some(float* p, f32x16 a, int64_t n) {
  float padded[16];
  store(padded, a);
  std::memcpy(p, padded, static_cast<size_t>(n) * sizeof(float));
}

template <class F>
concept HasTail = requires {
  F::decode_tail;
};

template <class F>
void decode_run(const Row& row, int64_t begin, int64_t n, float* out) {
  const int64_t first = begin / F::kBlock, n_blocks = n / F::kBlock;
  for (int64_t b = 0; b < n_blocks; ++b, out += F::kBlock) {
    F::decode(
        row, first + b, [out](int i, f32x16 w) __attribute__((always_inline)) {
          store(out + 16 * i, w);
        });
  }
  if constexpr (HasTail<F>) {
    if (n % 16 != 0) store(out, F::decode_tail(row, first + n_blocks, n % 16));
  }
}

/// One row's sums with n_tokens tokens.
template <int n_tokens>
struct RowSums {
  f32x16 sums[n_tokens];

  RowSums() {
    for (int t = 0; t < n_tokens; ++t) sums[t] = splat(0.0F);
  }
  template <class F>
  [[gnu::always_inline]] void add_block(const Row& row, int64_t block, const float* x,
                                        int64_t x_stride) {
    F::decode(
        row, block, [&](int i, f32x16 w) __attribute__((always_inline)) {
          for (int t = 0; t < n_tokens; ++t) {
            sums[t] = mul_add(w, load(x + t * x_stride + 16 * i), sums[t]);
          }
        });
  }
  template <class F>
  void add_tail(const Row& row, int64_t block, int64_t n, const float* x, int64_t x_stride) {
    const f32x16 w = F::decode_tail(row, block, n);
    for (int t = 0; t < n_tokens; ++t) {
      sums[t] = mul_add(w, load_some(x + t * x_stride, n), sums[t]);
    }
  }
  void finish(float* y, int64_t y_stride) const {
    for (int t = 0; t < n_tokens; ++t) y[t * y_stride] = tree_sum(sums[t]);
  }
};

/// Asks for the lines of one block of a row that comes `ahead` bytes later. Few instructions pass between
/// two lines of a packed row, too few for the processor's own prefetcher to keep memory busy.
template <class F>
[[gnu::always_inline]] inline void prefetch_block(const Row& row, int64_t block, int64_t ahead) {
  const auto at = reinterpret_cast<uintptr_t>(row.data) +
                  static_cast<uintptr_t>(block * F::kBlockBytes + ahead);
  for (int line = 0; line < F::kBlockBytes; line += 64) {
    __builtin_prefetch(reinterpret_cast<const void*>(at + static_cast<uintptr_t>(line)));
  }
}

/// Rows that lie at least kPrefetchBytes ahead, a whole number of pairs.
inline int64_t prefetch_distance(const Matrix& w) {
  const int64_t pair = 2 * w.row_bytes;
  return pair <= 0 ? 0 : (kPrefetchBytes + pair - 1) / pair * pair;
}

/// One row, or two neighbours: while one waits for its sum, the other goes on.
template <class F, int n_rows, int n_tokens>
inline void few_tile(const Matrix& w, int64_t r, const float* x, int64_t x_stride, float* y,
                     int64_t y_stride) {
  const Row row = row_of(w, r), next = row_of(w, r + n_rows - 1);
  RowSums<n_tokens> a, b;
  const int64_t n_blocks = w.cols / F::kBlock, ahead = prefetch_distance(w);
  for (int64_t i = 0; i < n_blocks; ++i, x += F::kBlock) {
    prefetch_block<F>(row, i, ahead);
    a.template add_block<F>(row, i, x, x_stride);
    if constexpr (n_rows == 2) {
      prefetch_block<F>(next, i, ahead);
      b.template add_block<F>(next, i, x, x_stride);
    }
  }
  if constexpr (HasTail<F>) {
    if (const int64_t n = w.cols % 16; n != 0) {
      a.template add_tail<F>(row, n_blocks, n, x, x_stride);
      if constexpr (n_rows == 2) b.template add_tail<F>(next, n_blocks, n, x, x_stride);
    }
  }
  a.finish(y + r, y_stride);
  if constexpr (n_rows == 2) b.finish(y + r + 1, y_stride);
}

template <class F>
void few_rows(const Matrix& w, int64_t begin, int64_t end, const float* x, int64_t x_stride,
              int64_t n_tokens, float* y, int64_t y_stride) {
  int64_t r = begin;
  switch (n_tokens) {
    case 1:
      for (; r + 2 <= end; r += 2) few_tile<F, 2, 1>(w, r, x, x_stride, y, y_stride);
      for (; r < end; ++r) few_tile<F, 1, 1>(w, r, x, x_stride, y, y_stride);
      break;
    case 2:
      for (; r < end; ++r) few_tile<F, 1, 2>(w, r, x, x_stride, y, y_stride);
      break;
    case 3:
      for (; r < end; ++r) few_tile<F, 1, 3>(w, r, x, x_stride, y, y_stride);
      break;
    default:
      for (; r < end; ++r) few_tile<F, 1, 4>(w, r, x, x_stride, y, y_stride);
      break;
  }
}

/// sums[row][token] += over `steps` vectors of decoded rows w (kRunColumns apart) and tokens x.
/// sums: [kBlockRows][kBlockTokens][16], the tile's corner.
template <int n_tokens>
inline void tile(const float* w, const float* x, int64_t x_stride, int64_t steps, float* sums) {
  f32x16 a[kTileRows][n_tokens];
  for (int j = 0; j < kTileRows; ++j) {
    for (int t = 0; t < n_tokens; ++t) a[j][t] = load(sums + (j * kBlockTokens + t) * 16);
  }
  for (int64_t s = 0; s < steps; ++s, w += 16, x += 16) {
    f32x16 v[kTileRows];
    for (int j = 0; j < kTileRows; ++j) v[j] = load(w + j * kRunColumns);
    for (int t = 0; t < n_tokens; ++t) {
      const f32x16 u = load(x + t * x_stride);
      for (int j = 0; j < kTileRows; ++j) a[j][t] = mul_add(v[j], u, a[j][t]);
    }
  }
  for (int j = 0; j < kTileRows; ++j) {
    for (int t = 0; t < n_tokens; ++t) store(sums + (j * kBlockTokens + t) * 16, a[j][t]);
  }
}

inline void tiles(const float* w, const float* x, int64_t x_stride, int64_t steps, int64_t n_rows,
                  int64_t n_tokens, float* sums) {
  for (int64_t t = 0; t < n_tokens; t += kTileTokens) {
    const int64_t left = n_tokens - t;
    const float* xt = x + t * x_stride;
    for (int64_t j = 0; j < n_rows; j += kTileRows) {
      const float* wj = w + j * kRunColumns;
      float* at = sums + (j * kBlockTokens + t) * 16;
      if (left >= kTileTokens) {
        tile<kTileTokens>(wj, xt, x_stride, steps, at);
        continue;
      }
      switch (left) {
        case 1:
          tile<1>(wj, xt, x_stride, steps, at);
          break;
        case 2:
          tile<2>(wj, xt, x_stride, steps, at);
          break;
        case 3:
          tile<3>(wj, xt, x_stride, steps, at);
          break;
        case 4:
          tile<4>(wj, xt, x_stride, steps, at);
          break;
        default:
          tile<5>(wj, xt, x_stride, steps, at);
          break;
      }
    }
  }
}

/// At most kBlockRows rows times at most kBlockTokens tokens.
inline void many_block(const FormatKernels& format, const Matrix& w, int64_t begin, int64_t n_rows,
                       const float* x, int64_t x_stride, int64_t n_tokens, float* y,
                       int64_t y_stride) {
  alignas(64) float decoded[kBlockRows * kRunColumns];
  alignas(64) float sums[kBlockRows * kBlockTokens * 16];
  alignas(64) float x_tail[kBlockTokens * 16];
  const int64_t padded_rows = (n_rows + kTileRows - 1) / kTileRows * kTileRows;
  for (int64_t j = 0; j < padded_rows; ++j) {
    std::memset(sums + j * kBlockTokens * 16, 0, static_cast<size_t>(n_tokens) * 64);
    if (j >= n_rows) std::memset(decoded + j * kRunColumns, 0, kRunColumns * sizeof(float));
  }
  for (int64_t c = 0; c < w.cols; c += kRunColumns) {
    const int64_t n = w.cols - c < kRunColumns ? w.cols - c : kRunColumns;
    for (int64_t j = 0; j < n_rows; ++j) {
      format.decode(row_of(w, begin + j), c, n, decoded + j * kRunColumns);
    }
    tiles(decoded, x + c, x_stride, n / 16, padded_rows, n_tokens, sums);
    if (n % 16 != 0) {
      for (int64_t t = 0; t < n_tokens; ++t) {
        store(x_tail + 16 * t, load_some(x + t * x_stride + c + n / 16 * 16, n % 16));
      }
      tiles(decoded + n / 16 * 16, x_tail, 16, 1, padded_rows, n_tokens, sums);
    }
  }
  for (int64_t j = 0; j < n_rows; ++j) {
    for (int64_t t = 0; t < n_tokens; ++t) {
      y[t * y_stride + begin + j] = tree_sum(load(sums + (j * kBlockTokens + t) * 16));
    }
  }
}

template <class F>
FormatKernels kernels_of() {
  return {decode_run<F>, few_rows<F>};
}

template <int code_bits>
FormatKernels affine_kernels(int group_size) {
  return group_size == 32 ? kernels_of<Affine<code_bits, 32>>()
                          : kernels_of<Affine<code_bits, 64>>();
}

inline FormatKernels format_kernels(const Matrix& w) {
  switch (w.format) {
    case Format::f32:
      return kernels_of<Plain<Format::f32>>();
    case Format::f16:
      return kernels_of<Plain<Format::f16>>();
    case Format::bf16:
      return kernels_of<Plain<Format::bf16>>();
    case Format::fp8:
      return kernels_of<Fp8>();
    case Format::affine:
      switch (w.bits) {
        case 2:
          return affine_kernels<2>(w.group_size);
        case 3:
          return affine_kernels<3>(w.group_size);
        case 4:
          return affine_kernels<4>(w.group_size);
        case 5:
          return affine_kernels<5>(w.group_size);
        case 6:
          return affine_kernels<6>(w.group_size);
        default:
          return affine_kernels<8>(w.group_size);
      }
    case Format::mxfp4:
      return kernels_of<MxFp4>();
    case Format::nvfp4:
      return kernels_of<NvFp4>();
    case Format::mxfp8:
      return kernels_of<MxFp8>();
    case Format::codes8:
      return kernels_of<Codes8>();
    case Format::q4_0:
      return kernels_of<Q4<false>>();
    case Format::q4_1:
      return kernels_of<Q4<true>>();
    case Format::q5_0:
      return kernels_of<Q5<false>>();
    case Format::q5_1:
      return kernels_of<Q5<true>>();
    case Format::q8_0:
      return kernels_of<Q8>();
    case Format::q2_k:
      return kernels_of<Q2K>();
    case Format::q3_k:
      return kernels_of<Q3K>();
    case Format::q4_k:
      return kernels_of<Q4K>();
    case Format::q5_k:
      return kernels_of<Q5K>();
    case Format::q6_k:
      return kernels_of<Q6K>();
    case Format::iq4_nl:
      return kernels_of<Iq4Nl>();
    case Format::iq4_xs:
      return kernels_of<Iq4Xs>();
    case Format::gguf_mxfp4:
      return kernels_of<GgufMxFp4>();
    default:  // decoded before it comes here (strips.h)
      return {};
  }
}

inline void dequantize_row(const Matrix& w, int64_t row, float* out) noexcept {
  const int64_t whole = w.cols / 16 * 16;
  const FormatKernels format = format_kernels(w);
  format.decode(row_of(w, row), 0, whole, out);
  if (whole != w.cols) {
    float tail[16];
    format.decode(row_of(w, row), whole, w.cols - whole, tail);
    std::memcpy(out + whole, tail, static_cast<size_t>(w.cols - whole) * sizeof(float));
  }
}

inline void matmul(const Matrix& w, int64_t row_begin, int64_t row_end, const float* x,
                   int64_t x_stride, int64_t n_tokens, float* y, int64_t y_stride) noexcept {
  const FormatKernels format = format_kernels(w);
  if (n_tokens <= kFewTokens) {
    if (n_tokens > 0) format.few(w, row_begin, row_end, x, x_stride, n_tokens, y, y_stride);
    return;
  }
  for (int64_t t = 0; t < n_tokens; t += kBlockTokens) {
    const int64_t tokens = n_tokens - t < kBlockTokens ? n_tokens - t : kBlockTokens;
    for (int64_t r = row_begin; r < row_end; r += kBlockRows) {
      const int64_t rows = row_end - r < kBlockRows ? row_end - r : kBlockRows;
      many_block(format, w, r, rows, x + t * x_stride, x_stride, tokens, y + t * y_stride,
                 y_stride);
    }
  }
}

}  // namespace
}  // namespace sluice::kernels
