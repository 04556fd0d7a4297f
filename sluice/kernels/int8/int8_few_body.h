#pragma once

// The 8-bit product for up to sixteen tokens: two rows' codes are turned into registers once for all of them.

#include "sluice/kernels/int8/lanes_body.h"

namespace sluice::kernels {
namespace {

constexpr int kFewInt8Tokens = 16;
constexpr int kMostRows = 16;  // whose sums are kept together, a multiple of 4

/// Of a row and a token the sixteen partial sums, in the order of lanes.
using PartialSums = float[kMostRows][kFewInt8Tokens][16];

/// A token's piece of a batch.
struct TokenPiece {
  const std::byte* batch;
  const std::byte* high;  // or null
};

/// Where a row's dot products with a token start.
template <class F>
[[gnu::always_inline]] inline Ints start_of(const TokenPiece& x) {
  return kStartsAtZero<F> ? Ints{} : ints_at(x.batch + TokenBatch<F>::kStarts);
}
/// sum, and sixteen groups' dot products times their scales.
template <class F>
[[gnu::always_inline]] inline Floats add_groups(Ints dots, Floats scale, Floats bias,
                                                const TokenPiece& x, Floats sum) {
  sum = mul_add(to_float(dots), scale * floats_at(x.batch + TokenBatch<F>::kScales), sum);
  if constexpr (F::kHasBias) sum = mul_add(bias, floats_at(x.batch + TokenBatch<F>::kSums), sum);
  return sum;
}

/// Piece p of a batch times one token's x: codes are multiplied as they come.
template <class F, int p>
[[gnu::always_inline]] inline Ints products_of_one(const BatchData& data, const std::byte* x) {
  if constexpr (kTurnsSums<F>) {
    Ints parts[4];
    unrolled<4>([&](auto v) __attribute__((always_inline)) {
      LaneSum<F> sum{};
      unrolled<F::kGroup / 16>([&](auto half) __attribute__((always_inline)) {
        const u8x64 codes = as_multiplied<F>(columns_of<F, v, half>(data));
        sum.template add<half, F::kGroup / 16>(piece_of<p>(codes),
                                               load_shared(x + 64 * (4 * half + v)));
      });
      parts[v] = sum.sum;
    });
    return fold_parts(parts);
  } else {
    LaneSum<F> sum{};
    for_codes<F>(
        data, [&](auto i, auto k, u8x64 codes) __attribute__((always_inline)) {
          sum.template add<k, kFours<F>>(piece_of<p>(codes), load_shared(x + 64 * i));
        });
    return sum.sum;
  }
}
template <class F, int p>
[[gnu::always_inline]] inline Ints dots_of_one(const BatchData& data, const TokenPiece& x) {
  const Ints low = start_of<F>(x) + products_of_one<F, p>(data, x.batch);
  return x.high == nullptr ? low : add_high(low, products_of_one<F, p>(data, x.high));
}

/// Piece of n_rows rows' batch, for many tokens in turn.
template <class F, int n_rows>
struct CodesPiece {
  Bytes codes[n_rows][kFours<F>];

  template <int p>
  [[gnu::always_inline]] void set(int k, const BatchData& data) {
    for_codes<F>(
        data, [&](auto i, auto, u8x64 all)
                  __attribute__((always_inline)) { codes[k][i] = piece_of<p>(all); });
  }
  [[gnu::always_inline]] void multiply(const std::byte* x, LaneSum<F> (&sums)[n_rows]) const {
    unrolled<kFours<F>>([&](auto i) __attribute__((always_inline)) {
      const Bytes four = load_shared(x + 64 * i);
      for (int k = 0; k < n_rows; ++k) sums[k].template add<i, kFours<F>>(codes[k][i], four);
    });
  }
  [[gnu::always_inline]] void dots(const TokenPiece& x, Ints (&dots)[n_rows]) const {
    LaneSum<F> low[n_rows];
    for (LaneSum<F>& of : low) of.sum = start_of<F>(x);
    multiply(x.batch, low);
    for (int k = 0; k < n_rows; ++k) dots[k] = low[k].sum;
    if (x.high == nullptr) return;
    LaneSum<F> high[n_rows] = {};
    multiply(x.high, high);
    for (int k = 0; k < n_rows; ++k) dots[k] = add_high(dots[k], high[k].sum);
  }
};

template <class F>
class FewTokens {
 public:
  FewTokens(const Matrix& w, const std::byte* const* x, int64_t n_tokens, std::byte* scratch)
      : w_(w),
        n_tokens_(n_tokens),
        n_groups_(w.cols / F::kGroup),
        n_whole_(n_groups_ / 16),
        slots_(n_groups_),
        scales_ahead_(w.row_bytes == 0 ? 0
                                       : (kPrefetchBytes / w.row_bytes + 1) * w.scale_row_bytes) {
    for (int64_t t = 0; t < n_tokens; ++t)
      scratch = arrange<F>(x[t], w.cols, n_tokens == 1, scratch, tokens_[t]);
    const int64_t mask = slots_.width - 1;  // width is 1, 2 or 4
    for (int64_t i = 0; i < 16; ++i) exist_[i] = 4 * (i & mask) + i / 4 < slots_.left ? -1 : 0;
  }

  void rows(int64_t begin, int64_t end, float* y, int64_t y_stride) const {
    alignas(64) PartialSums sums;
    const int64_t step =
        n_tokens_ <= 2 ? kMostRows : 4;  // the waiting for last groups and trees overlaps
    for (int64_t r = begin; r < end; r += step) {
      const int64_t n = end - r < step ? end - r : step;
      if (n_tokens_ == 1) {
        whole_batches<1, 1>(r, 0, n, sums);
      } else if (n_tokens_ == 2) {
        whole_batches<1, 2>(r, 0, n, sums);
      } else {
        const int64_t done = n / kRowsAtOnce * kRowsAtOnce;
        whole_batches<kRowsAtOnce, 0>(r, 0, done, sums);
        whole_batches<1, 0>(r, done, n, sums);
      }
      if (slots_.left > 0) last_groups(r, n, sums);
      for (int64_t i = 0; i < n; i += 4) add_up(sums + i, n - i, y + r + i, y_stride);
    }
  }

 private:
  /// The trees of the first n <= 4 rows' sums, or of the first 4.
  void add_up(const float (*sums)[kFewInt8Tokens][16], int64_t n, float* y,
              int64_t y_stride) const {
    for (int64_t t = 0; t < n_tokens_; ++t, y += y_stride) {
      f32x16 rows[4];
      for (int64_t i = 0; i < 4; ++i) rows[i] = load(sums[i < n ? i : 0][t]);
      if (n >= 4) {
        lane_sums(rows, y);
        continue;
      }
      float results[4];
      lane_sums(rows, results);
      std::memcpy(y, results, static_cast<size_t>(4 * n));
    }
  }

  static constexpr int kLanes = 16 / kPieces;

  template <int p>
  TokenPiece piece_at(int64_t t, int64_t batch) const {
    const Token& token = tokens_[t];
    const bool wide = token.high != nullptr && token.wide[batch];
    return {token.batches + batch * TokenBatch<F>::kBytes + p * kPieceBytes,
            wide ? token.high + batch * TokenBatch<F>::kStarts + p * kPieceBytes : nullptr};
  }

  /// The whole batches of rows [r + begin, r + end), n_rows at once; with n_tokens above 0 sums stay in registers.
  template <int n_rows, int n_tokens>
  [[gnu::noinline]] void whole_batches(int64_t r, int64_t begin, int64_t end,
                                       PartialSums& sums) const {
    for (int64_t i = begin; i < end; i += n_rows) whole_rows<n_rows, n_tokens>(r, i, sums);
  }
  template <int n_rows, int n_tokens>
  [[gnu::always_inline]] void whole_rows(int64_t r, int64_t i, PartialSums& sums) const {
    Row rows[n_rows];
    for (int k = 0; k < n_rows; ++k) {
      rows[k] = row_of(w_, r + i + k);
      if (rows[k].scales != nullptr) prefetch_new_lines(rows[k].scales);
      if (rows[k].biases != nullptr) prefetch_new_lines(rows[k].biases);
    }
    Floats kept[kPieces][n_tokens > 0 ? n_tokens : 1][n_rows] = {};
    if (n_tokens == 0) {
      for (int k = 0; k < n_rows; ++k)
        std::memset(sums[i + k], 0, static_cast<size_t>(64 * n_tokens_));
    }
    for (int64_t b = 0; b < n_whole_; ++b) {
      const int64_t at = b * group_bytes<F>(16);
      for (int k = 0; k < n_rows; ++k)
        prefetch(rows[k].data + at, kPrefetchBytes, group_bytes<F>(16));
      f32x16 scales[n_rows], biases[n_rows];
      unrolled<n_rows>([&](auto k) __attribute__((always_inline)) {
        lane_scales<F>(rows[k], 16 * b, BatchData::whole(rows[k].data + at), scales[k], biases[k]);
      });
      unrolled<kPieces>([&](auto p) __attribute__((always_inline)) {
        keep_apart();
        Floats scale[n_rows], bias[n_rows];
        for (int k = 0; k < n_rows; ++k)
          scale[k] = piece_of<p>(scales[k]), bias[k] = piece_of<p>(biases[k]);
        if constexpr (n_tokens == 1) {
          const TokenPiece x = piece_at<p>(0, b);
          unrolled<n_rows>([&](auto k) __attribute__((always_inline)) {
            const Ints dots = dots_of_one<F, p>(BatchData::whole(rows[k].data + at), x);
            kept[p][0][k] = add_groups<F>(dots, scale[k], bias[k], x, kept[p][0][k]);
          });
          return;
        }
        CodesPiece<F, n_rows> piece;
        unrolled<n_rows>([&](auto k) __attribute__((always_inline)) {
          piece.template set<p>(k, BatchData::whole(rows[k].data + at));
        });
        const auto add = [&](int64_t t, Floats(&to)[n_rows]) __attribute__((always_inline)) {
          const TokenPiece x = piece_at<p>(t, b);
          Ints dots[n_rows];
          piece.dots(x, dots);
          for (int k = 0; k < n_rows; ++k)
            to[k] = add_groups<F>(dots[k], scale[k], bias[k], x, to[k]);
        };
        if constexpr (n_tokens > 0) {
          for (int t = 0; t < n_tokens; ++t) add(t, kept[p][t]);
        } else {
          for (int64_t t = 0; t < n_tokens_; ++t) {
            Floats some[n_rows];
            for (int k = 0; k < n_rows; ++k) some[k] = floats_at(sums[i + k][t] + p * kLanes);
            add(t, some);
            for (int k = 0; k < n_rows; ++k) store_piece(sums[i + k][t] + p * kLanes, some[k]);
          }
        }
      });
    }
    for (int k = 0; k < n_rows && slots_.left > 0; ++k) {
      prefetch(rows[k].data + n_whole_ * group_bytes<F>(16), kPrefetchBytes,
               group_bytes<F>(slots_.left));
    }
    if constexpr (n_tokens > 0) {
      unrolled<kPieces>([&](auto p) __attribute__((always_inline)) {
        for (int k = 0; k < n_rows; ++k) {
          for (int t = 0; t < n_tokens; ++t)
            store_piece(sums[i + k][t] + p * kLanes, kept[p][t][k]);
        }
      });
    }
  }

  void last_groups(int64_t r, int64_t n, PartialSums& sums) const {
    for (int64_t i = 0; i < n; i += slots_.n) {
      const int64_t some = n - i < slots_.n ? n - i : slots_.n;
      if (slots_.width == 1) {
        last<1>(r + i, some, sums + i);
      } else if (slots_.width == 2) {
        last<2>(r + i, some, sums + i);
      } else {
        last<4>(r + i, some, sums + i);
      }
    }
  }

  /// Where the last groups of rows [r, r + n) are as one batch. What a part has beyond them is multiplied with zeros, but must be
  /// there: near the matrix' end they are copied to `memory`.
  template <int width>
  BatchData last_batch(int64_t r, int64_t n,
                       std::byte (&memory)[4 / width][group_bytes<F>(4 * width)]) const {
    const auto tail = [&](int64_t row) {
      return row_of(w_, row).data + n_whole_ * group_bytes<F>(16);
    };
    const std::byte* end = row_of(w_, w_.rows - 1).data + group_bytes<F>(n_groups_);
    const bool copy = end - tail(r + n - 1) < group_bytes<F>(4 * width);
    BatchData batch;
    for (int v = 0; v < 4; ++v) {
      const int slot = v / width;
      const std::byte* p = tail(r + (slot < n ? slot : 0));
      if (copy && v % width == 0) {
        std::memset(memory[slot], 0, sizeof memory[slot]);
        std::memcpy(memory[slot], p, static_cast<size_t>(group_bytes<F>(slots_.left)));
      }
      if (copy) p = memory[slot];
      batch.part[v] = p - group_bytes<F>(4 * width) * slot;
    }
    return batch;
  }

  /// The same of formats whose rows of 16-bit floats are read in the order of lanes; false: not for these.
  template <int width>
  [[gnu::always_inline]] bool slot_halves(int64_t r, int64_t n, f32x16& scale, f32x16& bias) const {
    if constexpr (requires(const Row& row) { F::lane_scales(row, 0, scale, bias); }) {
      if (F::groups_per_scale(w_) != 2 || w_.scale_type == Format::f32) return false;
      const int64_t each = slots_.left / 2;
      const int64_t whole = 2 * 8 * n_whole_;   // bytes
      uint64_t scales[2] = {}, biases[2] = {};  // four of a word
      for (int s = 0; s < 4 / width; ++s) {
        const Row row = row_of(w_, r + (s < n ? s : 0));
        for (int64_t k = 0; k < each; ++k) {
          const int64_t at = 2 * width * s + k, shift = 16 * (at % 4);
          scales[at / 4] |= uint64_t{load_as<uint16_t>(row.scales + whole + 2 * k)} << shift;
          biases[at / 4] |= uint64_t{load_as<uint16_t>(row.biases + whole + 2 * k)} << shift;
        }
      }
      Row row = row_of(w_, r);
      row.scales = reinterpret_cast<const std::byte*>(scales);
      row.biases = reinterpret_cast<const std::byte*>(biases);
      return F::lane_scales(row, 0, scale, bias);
    } else {
      return false;
    }
  }

  /// Their scales and biases, in the order of lanes; zeros for groups that a row does not have.
  template <int width>
  [[gnu::always_inline]] void last_scales(int64_t r, int64_t n, const BatchData& data,
                                          f32x16& scale, f32x16& bias) const {
    if constexpr (kScalesAmongCodes<F>) {
      F::lane_scales(data, scale, bias);
    } else if (!slot_halves<width>(r, n, scale, bias)) {
      alignas(64) float scales[16 + 12], biases[16 + 12];  // a slot's fill what is left
      for (int s = 0; s < 4 / width; ++s) {
        F::scales(row_of(w_, r + (s < n ? s : 0)), 16 * n_whole_, slots_.left, scale, bias);
        store(scales + 4 * width * s, scale);
        if constexpr (F::kHasBias) store(biases + 4 * width * s, bias);
      }
      scale = transpose_lanes(load(scales));
      if constexpr (F::kHasBias) bias = transpose_lanes(load(biases));
    }
    const i32x16 mask = load_int(exist_);
    scale = floats(bits(scale) & mask);
    if constexpr (F::kHasBias) bias = floats(bits(bias) & mask);
  }

  /// The last groups of rows [r, r + n), each in a slot of one batch; sums are theirs.
  template <int width>
  [[gnu::noinline]] void last(int64_t r, int64_t n, float (*sums)[kFewInt8Tokens][16]) const {
    constexpr int kSlots = 4 / width;
    std::byte memory[kSlots][group_bytes<F>(4 * width)];
    const BatchData data = last_batch<width>(r, n, memory);
    f32x16 scale, bias;
    last_scales<width>(r, n, data, scale, bias);
    unrolled<kPieces>([&](auto p) __attribute__((always_inline)) {
      keep_apart();
      const auto add = [&](int64_t t, Ints dots, const TokenPiece& x)
          __attribute__((always_inline)) {
        const auto with = [&](Floats sum) __attribute__((always_inline)) {
          return add_groups<F>(dots, piece_of<p>(scale), piece_of<p>(bias), x, sum);
        };
        const auto at = [&](int s) { return sums[s < n ? s : 0][t] + p * kLanes; };
        if constexpr (width == 4) {
          store_piece(at(0), with(floats_at(at(0))));
        } else {
          Floats rows[kSlots];
          for (int s = 0; s < kSlots; ++s) rows[s] = floats_at(at(s));
          split_slots<width>(with(join_slots<width>(rows)), rows);
          for (int s = 0; s < kSlots; ++s) {
            if (s < n) store_piece(at(s), rows[s]);
          }
        }
      };
      if (n_tokens_ == 1) {
        const TokenPiece x = piece_at<p>(0, n_whole_);
        return add(0, dots_of_one<F, p>(data, x), x);
      }
      CodesPiece<F, 1> piece;
      piece.template set<p>(0, data);
      for (int64_t t = 0; t < n_tokens_; ++t) {
        const TokenPiece x = piece_at<p>(t, n_whole_);
        Ints dots[1];
        piece.dots(x, dots);
        add(t, dots[0], x);
      }
    });
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

  const Matrix& w_;
  int64_t n_tokens_, n_groups_, n_whole_;
  Slots slots_;
  int64_t scales_ahead_;  // bytes from a row's scales to those that are asked for meanwhile
  Token tokens_[kFewInt8Tokens];
  int32_t exist_[16];  // all ones where a lane of a batch of last groups has one
};

}  // namespace
}  // namespace sluice::kernels
