#pragma once

// Attention of queries that share a key head over a block in few bits, all of which each of them sees.

#include "sluice/kernels/attention/nibbles_body.h"

namespace sluice::kernels {
namespace {

/// With so many queries, codes of 8 bits become floats before their products, not in them.
constexpr int64_t kDecodeCodesFrom = 8;

/// What a few queries share against one block: at most kMaxQueries of them.
struct CodedQueries {
  CodedQueries(const AttendTask& of, int64_t begin, int64_t count)
      : task(of),
        first(begin),
        n(count),
        lanes(lanes_of(of.head_dim)),
        wide(KvCode::lanes(of.head_dim)) {}  // what is large stays uninitialized

  const AttendTask& task;
  const int64_t first, n;
  const int64_t lanes, wide;  ///< head_dim in whole 16, in whole 32
  alignas(64) float p[kMaxQueries * kKvBlockTokens];
  alignas(64) float work[kMaxQueries * kMaxHeadDim];  ///< queries or p, times scales
  alignas(64) float decoded[kChunkPositions * kMaxHeadDim];
  alignas(64) std::byte bytes[kMaxQueries * kMaxHeadDim];
  float units[kMaxQueries * kMaxHeadDim / kUnit];
  float starts[kMaxQueries];  ///< of scores, what the mids add; of values, what codes are too large

  void run() {
    task.code.key_bits == 8 ? score_bytes() : score_nibbles();
    for (int64_t i = 0; i < n; ++i) {
      std::memset(part(i), 0, static_cast<size_t>(kPartHeader) * sizeof(float));
      soften(task, {0, kKvBlockTokens}, p + i * kKvBlockTokens, part(i));
    }
    for (int64_t channels = 0; channels < wide; channels += KvCode::kChannels) {
      scale_weights(channels);
      task.code.value_bits == 8 ? sum_byte_values(channels) : sum_nibble_values(channels);
    }
  }

 private:
  const std::byte* data() const { return static_cast<const std::byte*>(task.k); }
  float* part(int64_t i) const { return task.parts + (first + i) * (kPartHeader + lanes); }

  /// Each query times a group's scales, in `work`; in `starts` its product with the mids.
  void scale_queries(int64_t group) {
    const std::byte* scales = data() + task.code.key_scales(task.head_dim) + group * wide * 2;
    const std::byte* mids = data() + task.code.key_mids(task.head_dim) + group * wide * 2;
    for (int64_t i = 0; i < n; ++i) {
      const float* q = task.q + (first + i) * lanes;
      f32x16 sum = splat(0.0F);
      for (int64_t d = 0; d < wide; d += 16) {
        const f32x16 x = d < lanes ? load(q + d) : splat(0.0F);
        store(work + i * wide + d, x * load_f16(scales + 2 * d));
        sum = mul_add(x, load_f16(mids + 2 * d), sum);
      }
      starts[i] = tree_sum(sum);
    }
  }

  /// p times the scales of 32 channels' values, in `work`; in `starts` zero, or NaN where one is not finite.
  void scale_weights(int64_t channels) {
    const std::byte* scales = data() + task.code.value_scales(task.head_dim) +
                              channels / KvCode::kChannels * kKvBlockTokens * 2;
    for (int64_t i = 0; i < n; ++i) {
      f32x16 sum = splat(0.0F);
      for (int64_t j = 0; j < kKvBlockTokens; j += 16) {
        const f32x16 scaled = load(p + i * kKvBlockTokens + j) * load_f16(scales + 2 * j);
        store(work + i * kKvBlockTokens + j, scaled);
        sum = sum + scaled * splat(0.0F);
      }
      starts[i] = tree_sum(sum);
    }
  }

  /// Rounds `work`, [n, length], to bytes; what the codes of 4 bits are too large is taken off `starts`.
  RoundedRows round_work(int64_t length) {
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t at = i * length; at < (i + 1) * length; at += kUnit) {
        float sum;
        units[at / kUnit] = bytes_of_32(work + at, bytes + at, sum);
        starts[i] -= kNibbleZero * units[at / kUnit] * sum;
      }
    }
    return {bytes, units, length};
  }

  void score_nibbles() {
    const int64_t group = task.code.key_group();
    for (int64_t begin = 0; begin < kKvBlockTokens; begin += group) {
      scale_queries(begin / group);
      const RoundedRows queries = round_work(wide);
      for (int64_t j = begin; j < begin + group; j += 16)
        nibble_products(data() + j * wide / 2, queries, n, starts, p + j, kKvBlockTokens);
    }
  }

  void sum_nibble_values(int64_t channels) {
    alignas(64) float values[kMaxQueries * KvCode::kChannels], plain[KvCode::kChannels];
    const RoundedRows weights = round_work(kKvBlockTokens);
    const std::byte* codes =
        data() + task.code.values(task.head_dim) + channels * kKvBlockTokens / 2;
    for (int64_t d = 0; d < KvCode::kChannels; d += 16)
      nibble_products(codes + d * kKvBlockTokens / 2, weights, n, starts, values + d,
                      KvCode::kChannels);
    for (int64_t i = 0; i < n; ++i) {
      rotate32(values + i * KvCode::kChannels, plain);
      put_values(i, channels, plain);
    }
  }

  void score_bytes() {
    scale_queries(0);
    for_byte_chunks(
        data(), wide, data() + task.code.values(task.head_dim), [&](const auto& rows, int64_t at) {
          for_tiles(work, wide, p, nullptr, [&]<int nq>(const TileQueries& tile) {
            score_positions<nq, tile_width(nq)>(tile, rows, at, at, at + kChunkPositions);
          });
        });
    for (int64_t i = 0; i < n; ++i) {
      float* scores = p + i * kKvBlockTokens;
      for (int64_t j = 0; j < kKvBlockTokens; j += 16)
        store(scores + j, load(scores + j) + splat(starts[i]));
    }
  }

  void sum_byte_values(int64_t channels) {
    alignas(64) float values[kMaxQueries * KvCode::kChannels];
    const std::byte* codes = data() + task.code.values(task.head_dim) + channels * kKvBlockTokens;
    const bool is_last = channels + KvCode::kChannels >= wide;
    const void* after = is_last ? task.next : codes + kKvBlockTokens * KvCode::kChannels;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t d = 0; d < KvCode::kChannels; d += 16)
        store(values + i * KvCode::kChannels + d, splat(starts[i]));
    }
    for_byte_chunks(codes, KvCode::kChannels, after, [&](const auto& rows, int64_t at) {
      for_tiles(nullptr, KvCode::kChannels, work, values, [&]<int nq>(const TileQueries& tile) {
        add_values<nq, tile_width(nq)>(tile, rows, at, at, at + kChunkPositions);
      });
    });
    for (int64_t i = 0; i < n; ++i) put_values(i, channels, values + i * KvCode::kChannels);
  }

  void put_values(int64_t i, int64_t channels, const float* values) const {
    const int64_t some =
        lanes - channels < KvCode::kChannels ? lanes - channels : KvCode::kChannels;
    std::memcpy(part(i) + kPartHeader + channels, values,
                static_cast<size_t>(some) * sizeof(float));
  }

  /// body(rows, first) for kChunkPositions positions after another; row 0 of rows is position `first`.
  template <class Body>
  [[gnu::always_inline]] void for_byte_chunks(const std::byte* codes, int64_t stride,
                                              const void* after, Body body) {
    for (int64_t at = 0; at < kKvBlockTokens; at += kChunkPositions) {
      const std::byte* end = codes + (at + kChunkPositions) * stride;
      const CodeRows rows{codes + at * stride, stride,
                          at + kChunkPositions < kKvBlockTokens ? end : after};
      if (n < kDecodeCodesFrom) {
        body(rows, at);
        continue;
      }
      for (int64_t j = 0; j < kChunkPositions; ++j) {
        for (int64_t d = 0; d < stride; d += 16) {
          rows.fetch_next<1>(j, d);
          store(decoded + j * stride + d, rows.at(j, d));
        }
      }
      body(KvRows<KvType::f32>{reinterpret_cast<const std::byte*>(decoded), stride, nullptr}, at);
    }
  }

  /// body.operator()<nq>(tile) for the queries, kAttendQueries at a time. q: [n, dim], or null; weights: [n, 256];
  /// values: [n, 32], or null.
  template <class Body>
  [[gnu::always_inline]] void for_tiles(const float* q, int64_t dim, float* weights, float* values,
                                        Body body) {
    for (int64_t i = 0; i < n; i += kAttendQueries) {
      const TileQueries tile{q ? q + i * dim : nullptr, dim, weights + i * kKvBlockTokens,
                             values ? values + i * KvCode::kChannels : nullptr, KvCode::kChannels};
      with_count(n - i < kAttendQueries ? n - i : kAttendQueries,
                 [&]<int nq>() { body.template operator()<nq>(tile); });
    }
  }
};

inline void attend_coded(const AttendTask& task) noexcept {
  for (int64_t i = 0; i < task.n_queries; i += kMaxQueries) {
    const int64_t n = task.n_queries - i < kMaxQueries ? task.n_queries - i : kMaxQueries;
    CodedQueries(task, i, n).run();
  }
}

}  // namespace
}  // namespace sluice::kernels
