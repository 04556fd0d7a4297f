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

/// Rows of w times n_tokens tokens. A batch is sixteen groups of a row.
template <class F, int n_tokens>
class FewTokens {
 public:
  FewTokens(const Matrix& w, const std::byte* const* x)
      : w_(w),
        entries_(Int8Row{w.cols}.groups(F::kGroup)),
        whole_(w.cols / F::kGroup / 16 * 16),
        left_(w.cols / F::kGroup - whole_),
        scales_ahead_(w.row_bytes == 0 ? 0
                                       : (kPrefetchBytes / w.row_bytes + 1) * w.scale_row_bytes) {
    for (int t = 0; t < n_tokens; ++t) {
      x_[t] = x[t];
      groups_[t] = x[t] + Int8Row{w.cols}.group_offset(F::kGroup);
    }
  }

  void rows(int64_t begin, int64_t end, float* y, int64_t y_stride) const {
    int64_t r = begin;
    for (; left_ > 0 && left_ <= 8 && r + 2 <= end; r += 2) {
      const Row row = row_of(w_, r), next = row_of(w_, r + 1);
      Sums sums, next_sums;
      add_whole_batches(row, sums);
      add_whole_batches(next, next_sums);
      add_last_of_two(row, next, sums, next_sums);
      finish(sums, y + r, y_stride);
      finish(next_sums, y + r + 1, y_stride);
    }
    for (; r < end; ++r) {
      const Row row = row_of(w_, r);
      Sums sums;
      add_whole_batches(row, sums);
      if (left_ > 0) add_last(row, sums);
      finish(sums, y + r, y_stride);
    }
  }

 private:
  static constexpr int kVectors = F::kGroup * 16 / 64;  // of codes in a batch
  using Parts = i32x16[n_tokens][kVectors];

  struct Sums {
    f32x16 of[n_tokens];
    Sums() {
      for (int t = 0; t < n_tokens; ++t) of[t] = splat(0.0F);
    }
  };

  static void finish(const Sums& sums, float* y, int64_t y_stride) {
    for (int t = 0; t < n_tokens; ++t) y[t * y_stride] = tree_sum(sums.of[t]);
  }

  static const std::byte* batch_data(const Row& row, int64_t first) {
    return row.data + first / 16 * (kVectors / F::kVectors * F::kBlockBytes);
  }
  const std::byte* batch_x(int t, int64_t first) const { return x_[t] + first * F::kGroup; }

  static void prefetch(const std::byte* p, int64_t ahead, int64_t bytes) {
    const auto at = reinterpret_cast<uintptr_t>(p) + static_cast<uintptr_t>(ahead);
    for (int64_t line = 0; line < bytes; line += 64) {
      __builtin_prefetch(reinterpret_cast<const void*>(at + static_cast<uintptr_t>(line)));
    }
  }

  /// The lines that begin within a later row's scales, a stream too thin for the processor to follow. Each once:
  /// asking again for a line on its way costs more than it brings.
  void prefetch_new_lines(const std::byte* scales) const {
    const auto begin = reinterpret_cast<uintptr_t>(scales) + static_cast<uintptr_t>(scales_ahead_);
    const uintptr_t end = begin + static_cast<uintptr_t>(w_.scale_row_bytes);
    for (uintptr_t line = (begin + 63) & ~uintptr_t{63}; line < end; line += 64) {
      __builtin_prefetch(reinterpret_cast<const void*>(line));
    }
  }

  [[gnu::always_inline]] void add_whole_batches(const Row& row, Sums& sums) const {
    if (row.scales != nullptr) prefetch_new_lines(row.scales);
    if (row.biases != nullptr) prefetch_new_lines(row.biases);
    for (int64_t first = 0; first < whole_; first += 16) {
      const std::byte* p = batch_data(row, first);
      prefetch(p, kPrefetchBytes, kVectors / F::kVectors * F::kBlockBytes);
      Parts parts;
      unrolled<kVectors>([&](auto v) __attribute__((always_inline)) {
        const u8x64 codes =
            F::template codes<v % F::kVectors>(p + v / F::kVectors * F::kBlockBytes);
        for (int t = 0; t < n_tokens; ++t) {
          parts[t][v] = dot4<F::kWide>(splat_int(0), codes, batch_x(t, first) + 64 * v);
        }
      });
      f32x16 scale, bias = splat(0.0F);
      F::template scales<16>(row, first, 16, scale, bias);
      add(first, parts, scale, bias, sums);
    }
  }

  [[gnu::always_inline]] void add(int64_t first, const Parts& parts, f32x16 scale, f32x16 bias,
                                  Sums& sums) const {
    for (int t = 0; t < n_tokens; ++t) {
      i32x16 dots = group_sums<F::kGroup>(parts[t]);
      const std::byte* at = groups_[t] + 4 * first;
      if constexpr (F::kZeroShift > 0) {
        dots = dots - shift_left<F::kZeroShift>(int_lanes(at + 4 * entries_));
      }
      sums.of[t] = mul_add(to_float(dots), scale * load(at), sums.of[t]);
      if constexpr (F::kHasBias) sums.of[t] = mul_add(bias, load(at + 8 * entries_), sums.of[t]);
    }
  }

  /// Vector v of a row's last, partial batch.
  template <int v>
  [[gnu::always_inline]] u8x64 last_vector(const Row& row) const {
    const std::byte* p = batch_data(row, whole_) + v / F::kVectors * F::kBlockBytes;
    const int64_t columns = left_ * F::kGroup - 64 * v;
    if (columns >= 64 || F::kVectors > 1) return F::template codes<v % F::kVectors>(p);
    return last_codes<F>(p, columns);
  }

  void add_last(const Row& row, Sums& sums) const {
    Parts parts;
    unrolled<kVectors>([&](auto v) __attribute__((always_inline)) {
      for (int t = 0; t < n_tokens; ++t) parts[t][v] = splat_int(0);
      if (left_ * F::kGroup <= 64 * v) return;
      const u8x64 codes = last_vector<v>(row);
      for (int t = 0; t < n_tokens; ++t) {
        parts[t][v] = dot4<F::kWide>(splat_int(0), codes, batch_x(t, whole_) + 64 * v);
      }
    });
    f32x16 scale, bias = splat(0.0F);
    F::template scales<16>(row, whole_, left_, scale, bias);
    add(whole_, parts, scale, bias, sums);
  }

  /// The last 8 or fewer groups of two rows, which share a batch.
  [[gnu::always_inline]] void add_last_of_two(const Row& row, const Row& next, Sums& sums,
                                              Sums& next_sums) const {
    constexpr int kHalf = kVectors / 2;
    Parts parts;
    unrolled<kHalf>([&](auto v) __attribute__((always_inline)) {
      for (int t = 0; t < n_tokens; ++t) parts[t][v] = parts[t][kHalf + v] = splat_int(0);
      if (left_ * F::kGroup <= 64 * v) return;
      const u8x64 mine = last_vector<v>(row), others = last_vector<v>(next);
      for (int t = 0; t < n_tokens; ++t) {
        const std::byte* at = batch_x(t, whole_) + 64 * v;
        parts[t][v] = dot4<F::kWide>(splat_int(0), mine, at);
        parts[t][kHalf + v] = dot4<F::kWide>(splat_int(0), others, at);
      }
    });
    f32x16 scale, bias = splat(0.0F), next_scale, next_bias = splat(0.0F);
    F::template scales<8>(row, whole_, left_, scale, bias);
    F::template scales<8>(next, whole_, left_, next_scale, next_bias);
    scale = join_first(scale, next_scale);
    if constexpr (F::kHasBias) bias = join_first(bias, next_bias);
    const auto twice = [](const std::byte* p) __attribute__((always_inline)) {
      const f32x16 lanes = load(p);
      return join_first(lanes, lanes);
    };
    for (int t = 0; t < n_tokens; ++t) {
      i32x16 dots = group_sums<F::kGroup>(parts[t]);
      const std::byte* at = groups_[t] + 4 * whole_;
      if constexpr (F::kZeroShift > 0) {
        dots = dots - shift_left<F::kZeroShift>(bits(twice(at + 4 * entries_)));
      }
      f32x16 both = join_first(sums.of[t], next_sums.of[t]);
      both = mul_add(to_float(dots), scale * twice(at), both);
      if constexpr (F::kHasBias) both = mul_add(bias, twice(at + 8 * entries_), both);
      sums.of[t] = join_first_last(both, sums.of[t]);
      next_sums.of[t] = join_last(both, next_sums.of[t]);
    }
  }

  const Matrix& w_;
  const std::byte* x_[n_tokens];
  const std::byte* groups_[n_tokens];  // scales; sums and scaled sums follow
  int64_t entries_;                    // of each
  int64_t whole_, left_;               // groups in whole batches, groups after them
  int64_t scales_ahead_;  // bytes from a row's scales to those that are asked for meanwhile
};

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
  } else if (n_tokens == 2) {
    FewTokens<F, 2>(w, x).rows(begin, end, y, y_stride);
  } else if (n_tokens == 1) {
    FewTokens<F, 1>(w, x).rows(begin, end, y, y_stride);
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
