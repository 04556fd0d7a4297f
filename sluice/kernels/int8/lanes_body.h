#pragma once

// The 8-bit product with a group to a lane. A batch is sixteen groups of a row; its codes are turned so that lane 4 q + v of
// every vector holds four codes of group 4 v + q, and activations are copied in the same order. So products are summed
// within lanes alone, and a row's codes, turned once, serve every token.

#include "sluice/kernels/float/matmul_body.h"
#include "sluice/kernels/int8/codes_body.h"
#include "sluice/kernels/int8_row.h"

namespace sluice::kernels {
namespace {

/// Vectors of a batch's codes; vector i holds columns 4 i to 4 i + 3 of each group.
template <class F>
constexpr int kFours = F::kGroup / 4;
/// Bytes of n groups of a row, n a multiple of what the format's blocks need.
template <class F>
constexpr int64_t group_bytes(int64_t n) {
  return n * F::kGroup * F::kBlockBytes / (64 * F::kVectors);
}

/// Where codes of 4 bits are turned while they are packed.
template <class F>
constexpr bool kTurnsNibbles = F::kGroup == 32 && requires {
  F::nibbles(nullptr, 0);
};
/// Where vectors 2 i and 2 i + 1 hold the even and the odd ones of columns 8 i to 8 i + 7.
template <class F>
constexpr bool kEvensFirst = [] {
  if constexpr (kTurnsNibbles<F>) return F::kApart == 4;
  return false;
}();

/// Codes before they are turned: quarter q has columns 16 half to 16 half + 15 of group 4 v + q.
template <class F, int v, int half>
[[gnu::always_inline]] inline u8x64 columns_of(const BatchData& data) {
  const auto vector = [&](auto i) __attribute__((always_inline)) {
    return F::template codes<i % F::kVectors>(data.part[v] + i / F::kVectors * F::kBlockBytes);
  };
  if constexpr (F::kGroup == 16) {
    return vector(Index<v>{});
  } else {
    u8x64 halves[2];
    split_groups(vector(Index<2 * v>{}), vector(Index<2 * v + 1>{}), halves[0], halves[1]);
    return halves[half];
  }
}

/// A batch's codes: each(Index<i>{}, Index<k>{}, vector) for each vector i, as the k-th of kFours.
template <class F, class Each>
[[gnu::always_inline]] inline void for_codes(const BatchData& data, const Each& each) {
  if constexpr (kTurnsNibbles<F>) {
    u8x64 packed[4];
    for (int v = 0; v < 4; ++v) packed[v] = F::nibbles(data.part[v], 128 * v);
    transpose_quarters(packed);
    unrolled<4>([&](auto i) __attribute__((always_inline)) {
      u8x64 low, high;
      split_nibbles(packed[i], low, high);
      if constexpr (F::kApart == 32) join_quarters(low, high, low, high);
      if constexpr (requires { F::code(low); }) low = F::code(low), high = F::code(high);
      constexpr bool kNext = F::kApart == 4;
      each(Index<(kNext ? 2 * i : i)>{}, Index<2 * i>{}, as_multiplied<F>(low));
      each(Index<(kNext ? 2 * i + 1 : i + 4)>{}, Index<2 * i + 1>{}, as_multiplied<F>(high));
    });
  } else {
    unrolled<F::kGroup / 16>([&](auto half) __attribute__((always_inline)) {
      u8x64 fours[4];
      unrolled<4>([&](auto v)
                      __attribute__((always_inline)) { fours[v] = columns_of<F, v, half>(data); });
      transpose_quarters(fours);
      unrolled<4>([&](auto i) __attribute__((always_inline)) {
        each(Index<4 * half + i>{}, Index<4 * half + i>{}, as_multiplied<F>(fours[i]));
      });
    });
  }
}

template <class F>
constexpr bool kScalesAmongCodes = requires(const BatchData& data, f32x16& lanes) {
  F::lane_scales(data, lanes, lanes);
};

/// The scales (and biases) of the sixteen groups from `first`, which are at `data`, in the order of lanes.
template <class F>
[[gnu::always_inline]] inline void lane_scales(const Row& row, int64_t first, const BatchData& data,
                                               f32x16& scale, f32x16& bias) {
  if constexpr (kScalesAmongCodes<F>) {
    F::lane_scales(data, scale, bias);
  } else {
    if constexpr (requires { F::lane_scales(row, first, scale, bias); }) {
      if (F::lane_scales(row, first, scale, bias)) return;
    }
    F::scales(row, first, 16, scale, bias);
    scale = transpose_lanes(scale);
    if constexpr (F::kHasBias) bias = transpose_lanes(bias);
  }
}

/// What comes after is not computed before: two pieces' codes do not fit the registers.
[[gnu::always_inline]] inline void keep_apart() {
  if constexpr (kPieces > 1) asm volatile("" ::: "memory");
}

/// Where one token alone is multiplied with codes as they are, and sums are turned: fewer than the codes of such formats.
template <class F>
constexpr bool kTurnsSums = !kTurnsNibbles<F>;

/// A token's part of a batch: activations in the order of the codes, then per group where its sum starts (with what the
/// weights' zero takes away), its scale and its scaled sum.
template <class F>
struct TokenBatch {
  static constexpr int64_t kStarts = 64 * kFours<F>;
  static constexpr int64_t kScales = kStarts + 64, kSums = kScales + 64, kBytes = kSums + 64;
};

template <class F>
constexpr bool kStartsAtZero = F::kZeroShift == 0 && !kSigned<F>;

/// A token's batches one after another; its high parts likewise, [kFours][64] a batch, and whether a batch has any.
struct Token {
  const std::byte* batches;
  const std::byte* high;  // null: none has
  const bool* wide;
};

/// How a row's last groups, fewer than sixteen, share a batch with those of the rows after it: a slot has 4 * width groups.
struct Slots {
  int64_t left, width, n;

  explicit Slots(int64_t n_groups)
      : left(n_groups % 16),
        width(left <= 4   ? 1
              : left <= 8 ? 2
                          : 4),
        n(4 / width) {}
  int64_t begin(int64_t slot) const { return 4 * width * slot; }
};

/// A batch of activations, or of high parts, to `out`: turned as codes are, or as they are before.
template <class F>
[[gnu::always_inline]] inline void copy_activations(const std::byte* x, bool turned,
                                                    std::byte* out) {
  for (int half = 0; half < F::kGroup / 16; ++half) {
    u8x64 fours[4];
    for (int v = 0; v < 4; ++v) {
      const std::byte* at = x + 4 * F::kGroup * v;
      u8x64 columns = load_bytes64(at);
      if constexpr (F::kGroup == 32) {
        u8x64 halves[2];
        split_groups(columns, load_bytes64(at + 64), halves[0], halves[1]);
        columns = halves[half];
      }
      fours[v] = kEvensFirst<F> ? evens_first(columns) : columns;
    }
    if (turned) transpose_quarters(fours);
    for (int i = 0; i < 4; ++i) store_bytes(out + 64 * (4 * half + i), fours[i]);
  }
}

/// Copies a token's row to `out`, whose only token it may be. Returns where that ends.
template <class F>
[[gnu::noinline]] std::byte* arrange(const std::byte* x, int64_t cols, bool alone, std::byte* out,
                                     Token& token) {
  constexpr int64_t kColumns = 16 * F::kGroup;
  using Batch = TokenBatch<F>;
  const bool turned = !(alone && kTurnsSums<F>);
  const Int8Row row{cols};
  const int64_t n_groups = cols / F::kGroup, n_entries = row.groups(F::kGroup);
  const int64_t n_batches = (n_groups + 15) / 16;
  const Slots slots(n_groups);
  const std::byte* entries = x + row.group_offset(F::kGroup);
  // A batch's columns of x, and entries of 4 bytes a group: as they lie, or the last ones in each slot.
  alignas(64) std::byte columns[kColumns] = {}, four_bytes[64] = {};
  const auto in_slots = [&](const std::byte* from, int64_t bytes, std::byte* to) {
    for (int64_t s = 0; s < slots.n && slots.left > 0; ++s) {
      std::memcpy(to + slots.begin(s) * bytes, from, static_cast<size_t>(slots.left * bytes));
    }
    return to;
  };
  const auto batch_of = [&](const std::byte* from, int64_t batch) -> const std::byte* {
    from += batch * kColumns;
    return batch < n_groups / 16 ? from : in_slots(from, F::kGroup, columns);
  };
  const auto lanes_at = [&](int64_t array, int64_t batch) {
    const std::byte* from = entries + 4 * (array * n_entries + 16 * batch);
    return transpose_lanes(load(batch < n_groups / 16 ? from : in_slots(from, 4, four_bytes)));
  };
  token = {out, nullptr, nullptr};
  for (int64_t b = 0; b < n_batches; ++b, out += Batch::kBytes) {
    copy_activations<F>(batch_of(x, b), turned, out);
    const auto set = [&](int64_t at, f32x16 lanes) {
      store(reinterpret_cast<float*>(out + at), lanes);
    };
    set(Batch::kScales, lanes_at(0, b));
    set(Batch::kStarts, floats(less_zero<F>(splat_int(0), bits(lanes_at(1, b)))));
    set(Batch::kSums, lanes_at(2, b));
  }
  const std::byte* wide = x + row.wide_offset();
  uint64_t any = 0;
  for (int64_t i = 0; i < row.groups(32); i += 8) any |= load_as<uint64_t>(wide + i);
  if (any == 0) return out;
  token.high = out;
  for (int64_t b = 0; b < n_batches; ++b, out += Batch::kStarts) {
    copy_activations<F>(batch_of(x + row.high_offset(), b), turned, out);
  }
  auto* flags = reinterpret_cast<bool*>(out);
  token.wide = flags;
  for (int64_t b = 0; b < n_batches; ++b) {
    flags[b] = false;
    const int64_t end = (b + 1) * kColumns / 32;
    for (int64_t i = b * kColumns / 32; i < end && i < row.groups(32); ++i) {
      flags[b] = flags[b] || wide[i] != std::byte{0};
    }
  }
  return out + (n_batches + 63) / 64 * 64;
}

}  // namespace
}  // namespace sluice::kernels
