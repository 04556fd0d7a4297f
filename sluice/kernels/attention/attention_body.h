#pragma once

// Attention of queries that share a key head, one 256-token block at a time (kernels.h has the order).

#include "sluice/kernels/attention/attention_tiles_body.h"

namespace sluice::kernels {
namespace {

constexpr int kMaxHeadDim = 640;     // 576 where values are latent
constexpr int kMaxQueries = 32;      // whose scores are kept at once: 32 KiB
constexpr int kChunkPositions = 32;  // all queries pass over a chunk while it stays in L1
constexpr float kMinusInfinity = -__builtin_inff();

inline int64_t lanes_of(int32_t head_dim) { return (head_dim + 15) / 16 * 16; }

inline Visible common_part(Visible a, Visible b) {
  return {a.begin > b.begin ? a.begin : b.begin, a.end < b.end ? a.end : b.end};
}
inline bool is_empty(Visible a) { return a.begin >= a.end; }
/// All that one of n queries sees, and what lies between.
inline Visible hull(const Visible* visible, int64_t n) {
  Visible all{kKvBlockTokens, 0};
  for (int64_t i = 0; i < n; ++i) {
    if (is_empty(visible[i])) continue;
    if (visible[i].begin < all.begin) all.begin = visible[i].begin;
    if (visible[i].end > all.end) all.end = visible[i].end;
  }
  return all;
}

/// body.operator()<nq>() for nq in [1, kAttendQueries].
template <class Body>
[[gnu::always_inline]] inline void with_count(int64_t nq, Body body) {
  static_assert(kAttendQueries <= 4);
  if (nq == 1) body.template operator()<1>();
  if (nq == 2) body.template operator()<2>();
  if constexpr (kAttendQueries > 2) {
    if (nq == 3) body.template operator()<3>();
    if (nq == 4) body.template operator()<4>();
  }
}

/// Scores of nq queries in a chunk of positions, also of those that only some of the queries see.
template <class Rows>
inline void score_chunk(const TileQueries& t, const Visible* visible, int64_t nq, const Rows& k,
                        Visible chunk) {
  const Visible seen = common_part(hull(visible, nq), chunk);
  with_count(nq, [&]<int n>() {
    score_positions<n, tile_width(n)>(t, k, chunk.begin, seen.begin, seen.end);
  });
}

/// Values of nq queries in a chunk of positions: what all see together, the rest query by query, so that
/// nothing out of a query's sight is multiplied in. Each query's positions ascend.
template <class Rows>
inline void value_chunk(const TileQueries& t, const Visible* visible, int64_t nq, const Rows& v,
                        Visible chunk) {
  Visible common = chunk;
  for (int64_t i = 0; i < nq; ++i) common = common_part(common, visible[i]);
  if (is_empty(common)) common = {chunk.end, chunk.end};
  const auto alone = [&](Visible range) {
    for (int64_t i = 0; i < nq; ++i) {
      const Visible own = common_part(range, visible[i]);
      const TileQueries one{t.q, t.lanes, t.p + i * kKvBlockTokens, t.values + i * t.values_stride,
                            0};
      if (!is_empty(own)) add_values<1, tile_width(1)>(one, v, chunk.begin, own.begin, own.end);
    }
  };
  alone({chunk.begin, common.begin});
  with_count(nq, [&]<int n>() {
    if (!is_empty(common)) {
      add_values<n, tile_width(n)>(t, v, chunk.begin, common.begin, common.end);
    }
  });
  alone({common.end, chunk.end});
}

/// Turns a query's scores into p = exp(s - m) and returns m and the sum of p in part[0] and part[1].
inline void soften(const AttendTask& task, Visible visible, float* p, float* part) {
  const int64_t begin = visible.begin, end = visible.end;
  const int64_t first = begin / 16 * 16, last = (end + 15) / 16 * 16;
  int64_t j;
  for (j = first; j < begin; ++j) p[j] = 0.0F;
  for (j = end; j < last; ++j) p[j] = 0.0F;
  for (j = first; j < last; j += 16) {
    f32x16 s = load(p + j) * splat(task.scale);
    if (task.softcap > 0) s = tanh(s / splat(task.softcap)) * splat(task.softcap);
    store(p + j, s);
  }
  for (j = first; j < begin; ++j) p[j] = kMinusInfinity;
  for (j = end; j < last; ++j) p[j] = kMinusInfinity;
  f32x16 max16 = splat(kMinusInfinity);
  for (j = first; j < last; j += 16) max16 = max(max16, load(p + j));
  part[0] = tree_max(max16);
  f32x16 sum = splat(0.0F);
  for (j = first; j < last; j += 16) {
    const f32x16 e = exp(load(p + j) - splat(part[0]));
    sum = sum + e;
    store(p + j, e);
  }
  part[1] = tree_sum(sum);
}

/// body(rows, chunk) for the chunks of [all.begin, all.end); row 0 of rows is the chunk's first position.
/// With `decoded` the rows are first turned into float32, with zeros up to a multiple of 16.
template <KvType type, class Body>
[[gnu::always_inline]] inline void for_chunks(const void* block, const void* after,
                                              const AttendTask& task, Visible all, float* decoded,
                                              Body body) {
  const auto row = [&](const void* data, int64_t position) {
    return static_cast<const std::byte*>(data) + position * task.head_dim * KvRows<type>::kElement;
  };
  for (int32_t lo = all.begin; lo < all.end; lo += kChunkPositions) {
    const Visible chunk = common_part({lo, lo + kChunkPositions}, all);
    const void* next = chunk.end < all.end ? row(block, chunk.end) : after;
    const KvRows<type> rows{row(block, lo), task.head_dim, next};
    if (decoded) {
      decode_rows(rows, chunk.end - lo, task.head_dim, decoded);
      body(KvRows<KvType::f32>{reinterpret_cast<const std::byte*>(decoded), lanes_of(task.head_dim),
                               nullptr},
           chunk);
    } else {
      body(rows, chunk);
    }
  }
}

/// At most kMaxQueries queries from `first`.
template <KvType type>
inline void attend_some(const AttendTask& task, int64_t first, int64_t n) {
  const int64_t lanes = lanes_of(task.head_dim), stride = kPartHeader + lanes;
  const Visible* visible = task.visible + first;
  float* parts = task.parts + first * stride;
  alignas(64) float p[kMaxQueries * kKvBlockTokens];
  alignas(64) float scratch[kChunkPositions * kMaxHeadDim];
  const bool decode_once =
      task.head_dim % 16 != 0 || (type != KvType::f32 && n >= kAttendDecodeFrom);
  float* decoded = decode_once ? scratch : nullptr;
  const auto for_tiles = [&](auto body) {
    for (int64_t i = 0; i < n; i += kAttendQueries) {
      const TileQueries tile{task.q + (first + i) * lanes, lanes, p + i * kKvBlockTokens,
                             parts + i * stride + kPartHeader, stride};
      body(tile, visible + i, n - i < kAttendQueries ? n - i : kAttendQueries);
    }
  };
  const Visible all = hull(visible, n);
  for_chunks<type>(task.k, task.v, task, all, decoded, [&](const auto& k, Visible chunk) {
    for_tiles([&](const TileQueries& t, const Visible* see, int64_t nq) {
      score_chunk(t, see, nq, k, chunk);
    });
  });
  for (int64_t i = 0; i < n; ++i) {
    float* part = parts + i * stride;
    std::memset(part, 0, static_cast<size_t>(stride) * sizeof(float));
    part[0] = kMinusInfinity;
    if (!is_empty(visible[i])) soften(task, visible[i], p + i * kKvBlockTokens, part);
  }
  for_chunks<type>(task.v, task.next, task, all, decoded, [&](const auto& v, Visible chunk) {
    for_tiles([&](const TileQueries& t, const Visible* see, int64_t nq) {
      value_chunk(t, see, nq, v, chunk);
    });
  });
}

template <KvType type>
inline void attend_as(const AttendTask& task) {
  for (int64_t i = 0; i < task.n_queries; i += kMaxQueries) {
    attend_some<type>(task, i, task.n_queries - i < kMaxQueries ? task.n_queries - i : kMaxQueries);
  }
}

inline void attend(const AttendTask& task) noexcept {
  switch (task.type) {
    case KvType::f32:
      return attend_as<KvType::f32>(task);
    case KvType::f16:
      return attend_as<KvType::f16>(task);
    case KvType::bf16:
      return attend_as<KvType::bf16>(task);
  }
}

/// Joins a part with its own maximum to a state; `values` has n lanes, or is null: none.
inline void join(float part_max, float part_sum, const float* values, int64_t n, float* state) {
  const float joint = part_max > state[0] ? part_max : state[0];
  float factors[16] = {state[0] - joint, part_max - joint};
  store(factors, exp(load(factors)));
  const f32x16 mine = splat(factors[0]), theirs = splat(factors[1]);
  state[0] = joint;
  state[1] = state[1] * factors[0] + part_sum * factors[1];
  for (int64_t d = kPartHeader; d < kPartHeader + n; d += 16) {
    f32x16 v = load(state + d) * mine;
    if (values) v = mul_add(load(values + d - kPartHeader), theirs, v);
    store(state + d, v);
  }
}

inline void join_part(const float* part, int32_t head_dim, float* state) noexcept {
  if (part[1] == 0.0F) return;  // a seen position adds 1 at least, or NaN
  join(part[0], part[1], part + kPartHeader, lanes_of(head_dim), state);
}

inline void finish_part(const float* state, const float* sink, int32_t head_dim,
                        float* out) noexcept {
  alignas(64) float joined[kPartHeader + kMaxHeadDim];
  if (sink) {
    const int64_t lanes = lanes_of(head_dim);
    std::memcpy(joined, state, static_cast<size_t>(kPartHeader + lanes) * sizeof(float));
    join(*sink, 1.0F, nullptr, lanes, joined);
    state = joined;
  }
  const f32x16 sum = splat(state[1] > 0 || state[1] != state[1] ? state[1] : 1.0F);
  for_lanes(head_dim, [&](int64_t i, int64_t m) {
    store_lanes(out + i, load(state + kPartHeader + i) / sum, m);
  });
}

}  // namespace
}  // namespace sluice::kernels
