#pragma once

// The 8-bit product for up to four tokens: a row's codes go through registers, sixteen groups at a time.

#include <type_traits>

#include "sluice/kernels/float/matmul_body.h"
#include "sluice/kernels/int8/codes_body.h"
#include "sluice/kernels/int8_row.h"

namespace sluice::kernels {
namespace {

/// Of each 128 columns, the first halves of four groups, then the other halves; zeros at the end. Returns where it ends.
[[gnu::noinline]] inline std::byte* split_row(const std::byte* x, int64_t n, std::byte* out) {
  for (int64_t i = 0; i < n; i += 128, x += 128, out += 128) {
    const u8x64 more = n - i > 64 ? load_bytes64(x + 64) : and_byte(load_bytes64(x), 0);
    u8x64 first, last;
    split_groups(load_bytes64(x), more, first, last);
    store_bytes(out, first);
    store_bytes(out + 64, last);
  }
  return out;
}

/// Rows of w times n_tokens tokens. A batch is sixteen groups of a row, in four parts of four groups, each of which fills
/// a quarter of a vector. A group of 32 does so twice: x is copied in that order, so that no sum crosses quarters.
template <class F, int n_tokens>
class FewTokens {
 public:
  FewTokens(const Matrix& w, const std::byte* const* x, std::byte* scratch)
      : w_(w),
        entries_(Int8Row{w.cols}.groups(F::kGroup)),
        whole_(w.cols / F::kGroup / 16 * 16),
        left_(w.cols / F::kGroup - whole_),
        scales_ahead_(w.row_bytes == 0 ? 0
                                       : (kPrefetchBytes / w.row_bytes + 1) * w.scale_row_bytes) {
    for (int t = 0; t < n_tokens; ++t) scratch = arrange(t, x[t], scratch);
  }

  void rows(int64_t begin, int64_t end, float* y, int64_t y_stride) const {
    if constexpr (kHasWordSums && !F::kWide) {
      bool any_wide = false;
      for (const bool wide : any_wide_) any_wide = any_wide || wide;
      if (!any_wide) return rows_by<WordSums>(begin, end, y, y_stride);
    }
    rows_by<i32x16>(begin, end, y, y_stride);
  }

 private:
  template <class Part>
  void rows_by(int64_t begin, int64_t end, float* y, int64_t y_stride) const {
    int64_t r = begin;
    for (; left_ > 0 && left_ <= 8 && r + 2 <= end; r += 2) {
      const Row row = row_of(w_, r), next = row_of(w_, r + 1);
      Sums sums, next_sums;
      add_whole_batches<Part>(row, sums);
      add_whole_batches<Part>(next, next_sums);
      add_last_of_two<Part>(row, next, sums, next_sums);
      finish(sums, y + r, y_stride);
      finish(next_sums, y + r + 1, y_stride);
    }
    for (; r < end; ++r) {
      const Row row = row_of(w_, r);
      Sums sums;
      add_whole_batches<Part>(row, sums);
      if (left_ > 0) add_last<Part>(row, sums);
      finish(sums, y + r, y_stride);
    }
  }

  static constexpr bool kTwice = F::kGroup == 32;
  static constexpr int kVectors = F::kGroup * 16 / 64;  // of codes in a batch
  static constexpr int kParts = 4;
  static constexpr int kPartColumns = 4 * F::kGroup;
  static constexpr int kProducts = kTwice ? 4 : 2;  // in each sum of 16 bits
  /// Part: i32x16, or WordSums where no token has high parts.
  template <class Part>
  using Parts = Part[n_tokens][kParts];
  template <class Part>
  static constexpr bool kOfWords = kHasWordSums && !std::is_same_v<Part, i32x16>;

  struct Sums {
    f32x16 of[n_tokens];
    Sums() {
      for (int t = 0; t < n_tokens; ++t) of[t] = splat(0.0F);
    }
  };

  /// Where token t's parts are, after they were copied to scratch in the order in which they are multiplied. Returns where that ends.
  std::byte* arrange(int t, const std::byte* x, std::byte* scratch) {
    const Int8Row layout{w_.cols};
    const int64_t columns = layout.padded_cols();
    x_[t] = x;
    high_[t] = x + layout.high_offset();
    wide_[t] = x + layout.wide_offset();
    groups_[t] = x + layout.group_offset(F::kGroup);
    any_wide_[t] = false;
    for (int64_t i = 0; i < layout.groups(32); i += 8) {
      any_wide_[t] = any_wide_[t] || load_as<uint64_t>(wide_[t] + i) != 0;
    }
    if constexpr (kTwice) {
      const auto split = [&](const std::byte*& of) {
        const std::byte* from = of;
        of = scratch;
        scratch = split_row(from, columns, scratch);
      };
      split(x_[t]);
      if (any_wide_[t]) split(high_[t]);
    }
    if constexpr (kHasDot16) {
      if (!any_wide_[t]) return scratch;
      const int64_t n = kTwice ? scratch - high_[t] : columns;
      widen_row<F::kWide>(x_[t], high_[t], n, scratch);
      x_[t] = scratch;
      scratch += 2 * n;
    }
    return scratch;
  }

  static void finish(const Sums& sums, float* y, int64_t y_stride) {
    for (int t = 0; t < n_tokens; ++t) y[t * y_stride] = tree_sum(sums.of[t]);
  }

  static const std::byte* vector_data(const std::byte* batch, int v) {
    return batch + v / F::kVectors * F::kBlockBytes;
  }
  static const std::byte* batch_data(const Row& row, int64_t first) {
    return vector_data(row.data, static_cast<int>(first / 16) * kVectors);
  }

  /// Part i of the batch at p.
  template <int i>
  [[gnu::always_inline]] static void load_part(const std::byte* p, u8x64 (&codes)[1 + kTwice]) {
    if constexpr (!kTwice) {
      codes[0] = F::template codes<i % F::kVectors>(vector_data(p, i));
    } else if constexpr (requires { F::halves(p, codes[0], codes[1]); }) {
      F::halves(vector_data(p, 2 * i), codes[0], codes[1]);
    } else {
      split_groups(F::template codes<2 * i % F::kVectors>(vector_data(p, 2 * i)),
                   F::template codes<(2 * i + 1) % F::kVectors>(vector_data(p, 2 * i + 1)),
                   codes[0], codes[1]);
    }
  }
  [[gnu::always_inline]] static i32x16 dots(const u8x64 (&codes)[1 + kTwice], const std::byte* x) {
    const i32x16 none = splat_int(0);
    const u8x64 first = as_multiplied<F>(codes[0]);
    if constexpr (kTwice) return dot8<F::kWide>(none, first, x, as_multiplied<F>(codes[1]), x + 64);
    return dot4<F::kWide>(none, first, x);
  }
  [[gnu::always_inline]] static WordSums word_dots(const u8x64 (&codes)[1 + kTwice],
                                                   const std::byte* x) {
    if constexpr (kTwice) return word_dot(codes[0], x) + word_dot(codes[1], x + 64);
    return word_dot(codes[0], x);
  }
  [[gnu::always_inline]] static i32x16 wide_dots(const u8x64 (&codes)[1 + kTwice],
                                                 const std::byte* x) {
    const i32x16 sum = dot16<F::kWide>(splat_int(0), codes[0], x);
    if constexpr (kTwice) return dot16<F::kWide>(sum, codes[1], x + 128);
    return sum;
  }
  /// Whether token t has high parts in the part's columns.
  [[gnu::always_inline]] bool is_wide(int t, int64_t column) const {
    const std::byte* wide = wide_[t] + column / 32;
    if constexpr (kTwice) return load_as<uint32_t>(wide) != 0;
    return load_as<uint16_t>(wide) != 0;
  }
  /// Codes from `column` on times x, as part `to` of the sums.
  template <class Part>
  [[gnu::always_inline]] void multiply(const u8x64 (&codes)[1 + kTwice], int64_t column, int to,
                                       Parts<Part>& parts) const {
    for (int t = 0; t < n_tokens; ++t) {
      if constexpr (kOfWords<Part>) {
        parts[t][to] = word_dots(codes, x_[t] + column);
      } else if constexpr (kHasDot16) {
        parts[t][to] =
            any_wide_[t] ? wide_dots(codes, x_[t] + 2 * column) : dots(codes, x_[t] + column);
      } else {
        i32x16 sum = dots(codes, x_[t] + column);
        if (is_wide(t, column)) sum = sum + shift_left<7>(dots(codes, high_[t] + column));
        parts[t][to] = sum;
      }
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

  template <class Part>
  [[gnu::always_inline]] void add_whole_batches(const Row& row, Sums& sums) const {
    if (row.scales != nullptr) prefetch_new_lines(row.scales);
    if (row.biases != nullptr) prefetch_new_lines(row.biases);
    for (int64_t first = 0; first < whole_; first += 16) {
      const std::byte* p = batch_data(row, first);
      prefetch(p, kPrefetchBytes, kVectors / F::kVectors * F::kBlockBytes);
      Parts<Part> parts;
      unrolled<kParts>([&](auto i) __attribute__((always_inline)) {
        u8x64 codes[1 + kTwice];
        load_part<i>(p, codes);
        multiply<Part>(codes, first * F::kGroup + i * kPartColumns, i, parts);
      });
      f32x16 scale, bias = splat(0.0F);
      F::template scales<16>(row, first, 16, scale, bias);
      add<Part>(first, parts, scale, bias, sums);
    }
  }

  [[gnu::always_inline]] i32x16 without_zero(int t, i32x16 dots, i32x16 sums) const {
    if constexpr (kHasDot16 && kSigned<F>) {
      if (any_wide_[t]) return less_zero<F, false>(dots, sums);
    }
    return less_zero<F>(dots, sums);
  }

  /// Each group's sum.
  template <class Part>
  [[gnu::always_inline]] static i32x16 sums_of(const Part (&parts)[kParts]) {
    if constexpr (kOfWords<Part>) {
      return sums_of_4<kWordProducts<F> / kProducts>(parts);
    } else {
      return sums_of_4(parts);
    }
  }

  template <class Part>
  [[gnu::always_inline]] void add(int64_t first, const Parts<Part>& parts, f32x16 scale,
                                  f32x16 bias, Sums& sums) const {
    for (int t = 0; t < n_tokens; ++t) {
      i32x16 dots = sums_of<Part>(parts[t]);
      const std::byte* at = groups_[t] + 4 * first;
      dots = without_zero(t, dots, int_lanes(at + 4 * entries_));
      sums.of[t] = mul_add(to_float(dots), scale * load(at), sums.of[t]);
      if constexpr (F::kHasBias) sums.of[t] = mul_add(bias, load(at + 8 * entries_), sums.of[t]);
    }
  }

  /// Part i of the row's last batch at p, as part `to` of the sums; `columns` of it and of what follows it exist.
  template <int i, class Part>
  [[gnu::always_inline]] void last_part(const std::byte* p, int64_t columns, int64_t x_column,
                                        int to, Parts<Part>& parts) const {
    u8x64 codes[1 + kTwice];
    if (columns >= kPartColumns) {
      load_part<i>(p, codes);
    } else if (columns <= 0) {
      for (int t = 0; t < n_tokens; ++t) {
        if constexpr (kOfWords<Part>) {
          parts[t][to] = Part{};
        } else {
          parts[t][to] = splat_int(0);
        }
      }
      return;
    } else if constexpr (!kTwice) {
      codes[0] = last_codes<F>(p, columns);
    } else if (columns > 64) {
      split_groups(F::template codes<0>(p), last_codes<F>(p + F::kBlockBytes, columns - 64),
                   codes[0], codes[1]);
    } else {
      const u8x64 a = columns == 64 ? F::template codes<0>(p) : last_codes<F>(p, columns);
      split_groups(a, and_byte(a, 0), codes[0], codes[1]);
    }
    multiply<Part>(codes, x_column, to, parts);
  }
  /// The first n parts of a row's last, partial batch, as parts from `to` on.
  template <class Part>
  [[gnu::always_inline]] void last_parts(const Row& row, int n, int to, Parts<Part>& parts) const {
    const std::byte* p = batch_data(row, whole_);
    int64_t columns = left_ * F::kGroup, x_column = whole_ * F::kGroup;
    const auto next = [&] { columns -= kPartColumns, x_column += kPartColumns; };
    if constexpr (F::kVectors == 1) {
      for (int i = 0; i < n; ++i, next(), p += (1 + kTwice) * F::kBlockBytes) {
        last_part<0, Part>(p, columns, x_column, to + i, parts);
      }
    } else {  // of whole blocks
      unrolled<kParts>([&](auto i) __attribute__((always_inline)) {
        if (i < n) last_part<i, Part>(p, columns, x_column, to + i, parts), next();
      });
    }
  }

  template <class Part>
  [[gnu::noinline]] void add_last(const Row& row, Sums& sums) const {
    Parts<Part> parts;
    last_parts<Part>(row, kParts, 0, parts);
    f32x16 scale, bias = splat(0.0F);
    load_scales<F, 16>(row, whole_, left_, scale, bias);
    add<Part>(whole_, parts, scale, bias, sums);
  }

  /// The last 8 or fewer groups of two rows, which share a batch.
  template <class Part>
  [[gnu::always_inline]] void add_last_of_two(const Row& row, const Row& next, Sums& sums,
                                              Sums& next_sums) const {
    Parts<Part> parts;
    last_parts<Part>(row, kParts / 2, 0, parts);
    last_parts<Part>(next, kParts / 2, kParts / 2, parts);
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
      i32x16 dots = sums_of<Part>(parts[t]);
      const std::byte* at = groups_[t] + 4 * whole_;
      dots = without_zero(t, dots, bits(twice(at + 4 * entries_)));
      f32x16 both = join_first(sums.of[t], next_sums.of[t]);
      both = mul_add(to_float(dots), scale * twice(at), both);
      if constexpr (F::kHasBias) both = mul_add(bias, twice(at + 8 * entries_), both);
      sums.of[t] = join_first_last(both, sums.of[t]);
      next_sums.of[t] = join_last(both, next_sums.of[t]);
    }
  }

  const Matrix& w_;
  const std::byte* x_[n_tokens];
  const std::byte* high_[n_tokens];
  const std::byte* wide_[n_tokens];
  bool any_wide_[n_tokens];
  const std::byte* groups_[n_tokens];  // scales; sums and scaled sums follow
  int64_t entries_;                    // of each
  int64_t whole_, left_;               // groups in whole batches, groups after them
  int64_t scales_ahead_;  // bytes from a row's scales to those that are asked for meanwhile
};

}  // namespace
}  // namespace sluice::kernels
