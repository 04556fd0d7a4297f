#pragma once

// A panel of rows, unpacked for the 8-bit product with many tokens: codes interleaved by fours, so that a vector holds
// four columns of sixteen rows.

#include "sluice/kernels/float/matmul_body.h"
#include "sluice/kernels/int8/codes_body.h"
#include "sluice/kernels/int8_row.h"

namespace sluice::kernels {
namespace {

constexpr int kPanelRows = 16 * kPanelVectors;
constexpr int kFoursBytes = 4 * kPanelRows;
constexpr int kRunVectors = kRunColumns / 64;

/// kPanelRows rows, unpacked: codes [n / 4][kPanelRows][4] of n columns, scales and biases [groups][kPanelRows] of all.
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

  /// Where the codes of four columns are, `column` columns from the first, of sixteen rows.
  std::byte* fours(int64_t column, int part) const {
    return codes + column / 4 * kFoursBytes + part * 64;
  }
};

/// A run: up to kRunColumns columns, from `first` on, of sixteen rows from `begin` on, of which n exist; the others are zeros.
/// They go to vector `part` of the panel. Rows that lie side by side are too many streams for the processor
/// to follow, so what is `ahead` bytes on is asked for meanwhile.
struct Run {
  const Matrix& w;
  int64_t begin, n, first;
  int part;
  int64_t ahead;

  int64_t columns() const { return w.cols - first < kRunColumns ? w.cols - first : kRunColumns; }
};
template <class F>
constexpr int64_t kRunBytes = int64_t{F::kBlockBytes} * (kRunVectors / F::kVectors);

/// body(0) to body(n - 1), each in code of its own where that keeps a panel's vectors in registers.
template <int n, class Body>
[[gnu::always_inline]] inline void for_vectors(const Body& body) {
  if constexpr (kPanelInRegisters) {
    unrolled<n>(body);
  } else {
    for (int i = 0; i < n; ++i) body(i);
  }
}

/// The codes of a run of sixteen rows, as far as they make whole 128 columns: still packed while they are transposed.
/// Returns how many columns that is.
template <class F>
int64_t unpack_nibbles(const Run& run, const Panel& panel) {
  const std::byte* rows = row_of(run.w, run.begin).data;
  const int64_t stride = run.w.row_bytes, n_columns = run.columns() / 128 * 128;
  for (int64_t column = 0; column < n_columns; column += 128) {
    i32x16 words[16];
    const int64_t first = run.first + column;
    for (int r = 0; r < 16; ++r) {
      const std::byte* row = rows + r * stride;
      words[r] = lanes_of(F::nibbles(row, first));
      prefetch(row + first / 64 * F::kBlockBytes / F::kVectors, run.ahead, 64);
    }
    transpose(words);
    std::byte* out = panel.fours(first, run.part);
    for_vectors<16>([&](int j) __attribute__((always_inline)) {
      constexpr int kWords = F::kApart / 4;
      std::byte* to = out + (j / kWords * (2 * F::kApart / 4) + j % kWords) * kFoursBytes;
      u8x64 fours, later;
      if constexpr (F::kApart == 4) {
        split_fours(bytes_of(words[j]), fours, later);
      } else {
        split_nibbles(bytes_of(words[j]), fours, later);
      }
      if constexpr (requires { F::code(fours); }) {
        fours = F::code(fours);
        later = F::code(later);
      }
      store_bytes(to, fours);
      store_bytes(to + kWords * kFoursBytes, later);
    });
  }
  return n_columns;
}

/// A row's codes from the run's column `done` on.
template <class F>
[[gnu::always_inline]] inline void load_run(const Run& run, int64_t row, int64_t done,
                                            std::byte* out) {
  const int64_t first = run.first + done;
  const std::byte* p = row_of(run.w, row).data + first / 64 / F::kVectors * F::kBlockBytes;
  if (done == 0) prefetch(p, run.ahead, kRunBytes<F>);
  for (int64_t left = run.columns() - done; left > 0;
       left -= 64 * F::kVectors, p += F::kBlockBytes, out += 64 * F::kVectors) {
    if (left < 64) {
      store_bytes(out, last_codes<F>(p, left));
      continue;
    }
    unrolled<F::kVectors>([&](auto i) __attribute__((always_inline)) {
      store_bytes(out + 64 * i, F::template codes<i>(p));
    });
  }
}

template <class F>
void unpack_codes(const Run& run, const Panel& panel) {
  int64_t done = 0;
  if constexpr (requires { F::nibbles(nullptr, done); }) {
    if (run.n == 16) done = unpack_nibbles<F>(run, panel);
    if (done == run.columns()) return;
  }
  alignas(64) std::byte codes[16][kRunColumns];
  for (int64_t r = 0; r < 16; ++r) {
    if (r < run.n) {
      load_run<F>(run, run.begin + r, done, codes[r]);
    } else {
      std::memset(codes[r], 0, sizeof codes[r]);
    }
  }
  for (int64_t column = 0; column < run.columns() - done; column += 64) {
    i32x16 lanes[16];
    for (int r = 0; r < 16; ++r) lanes[r] = int_lanes(codes[r] + column);
    transpose(lanes);
    std::byte* out = panel.fours(run.first + done + column, run.part);
    for_vectors<16>([&](int k) __attribute__((always_inline)) {
      store_bytes(out + k * kFoursBytes, bytes_of(lanes[k]));
    });
  }
}

/// The scales and biases of rows [begin, begin + n) as vector `part` of a panel.
template <class F>
void unpack_scales(const Matrix& w, int64_t begin, int64_t n, int part, const Panel& panel) {
  for (int64_t first = 0; first < panel.n_groups; first += 16) {
    const int64_t count = panel.n_groups - first < 16 ? panel.n_groups - first : 16;
    i32x16 scale[16], bias[16];
    for_vectors<16>([&](int r) __attribute__((always_inline)) {
      f32x16 s = splat(0.0F), b = splat(0.0F);
      if (r < n) load_scales<F>(row_of(w, begin + r), first, count, s, b);
      scale[r] = bits(s);
      bias[r] = bits(b);
    });
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

/// Sixteen 16-bit floats, each in the low half of a lane.
template <bool is_bf16>
[[gnu::always_inline]] inline f32x16 widen_halves(i32x16 halves) {
  if constexpr (is_bf16) return floats(shift_left<16>(halves));
  int32_t lanes[16];
  uint16_t packed[16];
  std::memcpy(lanes, &halves, sizeof lanes);
  for (int i = 0; i < 16; ++i) packed[i] = static_cast<uint16_t>(lanes[i]);
  return load_f16(packed);
}

/// 16-bit scales or biases of rows [0, n), `stride` bytes apart, as a vector of a panel's: `count` of a row, each for
/// `repeat` groups.
template <bool is_bf16>
void unpack_halves(const std::byte* rows, int64_t stride, int64_t n, int64_t count, int64_t repeat,
                   float* out) {
  for (int64_t first = 0; first < count; first += 32) {
    const int64_t left = count - first < 32 ? count - first : 32;
    i32x16 words[16];  // of two
    for_vectors<16>([&](int r) __attribute__((always_inline)) {
      std::byte some[64] = {};
      const std::byte* p = r < n ? rows + r * stride + 2 * first : some;
      if (r < n && left < 32) std::memcpy(some, p, static_cast<size_t>(2 * left));
      words[r] = lanes_of(load_bytes64(left < 32 ? some : p));
    });
    transpose(words);
    for_vectors<32>([&](int i) __attribute__((always_inline)) {
      if (i >= left) return;
      const f32x16 all = widen_halves<is_bf16>(i % 2 == 0 ? words[i / 2] & splat_int(0xffff)
                                                          : shift_right<16>(words[i / 2]));
      for (int64_t k = 0; k < repeat; ++k, out += kPanelRows) store(out, all);
    });
  }
}

/// The same where they are 16-bit floats in rows of their own: transposed as they are stored, then repeated per group.
template <class F>
void unpack_stored_scales(const Matrix& w, int64_t begin, int64_t n, int part, const Panel& panel) {
  const auto unpack = w.scale_type == Format::bf16 ? unpack_halves<true> : unpack_halves<false>;
  const Row first = row_of(w, begin);
  const int64_t repeat = F::groups_per_scale(w), count = panel.n_groups / repeat;
  unpack(first.scales, w.scale_row_bytes, n, count, repeat, panel.scales + 16 * part);
  unpack(first.biases, w.scale_row_bytes, n, count, repeat, panel.biases + 16 * part);
}

template <class F>
void unpack_all_scales(const Matrix& w, int64_t begin, int64_t n_rows, const Panel& panel) {
  for (int part = 0; part < kPanelVectors; ++part, begin += 16, n_rows -= 16) {
    const int64_t n = n_rows < 0 ? 0 : n_rows < 16 ? n_rows : 16;
    if constexpr (requires { F::groups_per_scale(w); }) {
      if (w.scale_type != Format::f32) {
        unpack_stored_scales<F>(w, begin, n, part, panel);
        continue;
      }
    }
    unpack_scales<F>(w, begin, n, part, panel);
  }
}

/// Asks for the scales and biases of rows that have them apart.
inline void prefetch_scales(const Matrix& w, int64_t begin, int64_t n) {
  const Row row = row_of(w, begin);
  if (row.scales != nullptr) prefetch(row.scales, 0, n * w.scale_row_bytes);
  if (row.biases != nullptr) prefetch(row.biases, 0, n * w.scale_row_bytes);
}

}  // namespace
}  // namespace sluice::kernels
