#pragma once

// Attention of one query head over 256-token blocks (kernels.h has the order).

#include "sluice/kernels/elementwise_body.h"

namespace sluice::kernels {
namespace {

constexpr int kMaxHeadDim = 512;
constexpr float kMinusInfinity = -__builtin_inff();

/// A head's rows of one element type; the lanes beyond head_dim read as zero.
template <KvType type>
struct KvRows {
  static constexpr int64_t kElement = type == KvType::f32 ? 4 : 2;
  const std::byte* data;
  int64_t head_dim;

  static f32x16 load_lanes(const std::byte* p) {
    if constexpr (type == KvType::f32) {
      return load(p);
    } else if constexpr (type == KvType::f16) {
      return load_f16(p);
    } else {
      return load_bf16(p);
    }
  }
  [[gnu::always_inline]] f32x16 whole(int64_t position, int64_t d) const {
    return load_lanes(data + (position * head_dim + d) * kElement);
  }
  f32x16 tail(int64_t position, int64_t d) const {
    alignas(64) std::byte padded[16 * kElement] = {};
    std::memcpy(padded, data + (position * head_dim + d) * kElement,
                static_cast<size_t>((head_dim - d) * kElement));
    return load_lanes(padded);
  }
};

/// One block's scores, turned into p = exp(s - m). Positions outside [begin, end) have p = 0.
struct BlockScores {
  alignas(64) float p[kKvBlockTokens];
  float max;
  float sum;
};

/// s[j] = q . k_j for n positions from j.
template <int n, class Rows>
inline void dot_positions(const Rows& k, const float* q, int64_t j, float* s) {
  const int64_t whole = k.head_dim / 16 * 16;
  f32x16 sums[n];
  for (int i = 0; i < n; ++i) sums[i] = splat(0.0F);
  for (int64_t d = 0; d < whole; d += 16) {
    const f32x16 u = load(q + d);
    for (int i = 0; i < n; ++i) sums[i] = mul_add(u, k.whole(j + i, d), sums[i]);
  }
  if (whole != k.head_dim) {
    const f32x16 u = load(q + whole);
    for (int i = 0; i < n; ++i) sums[i] = mul_add(u, k.tail(j + i, whole), sums[i]);
  }
  for (int i = 0; i < n; ++i) s[j + i] = tree_sum(sums[i]);
}

template <class Rows>
inline void score_block(const AttendTask& task, const float* q, const Rows& k, int64_t begin,
                        int64_t end, BlockScores& scores) {
  int64_t j = begin;
  for (; j + 4 <= end; j += 4) dot_positions<4>(k, q, j, scores.p);
  for (; j < end; ++j) dot_positions<1>(k, q, j, scores.p);

  const int64_t first = begin / 16 * 16, last = (end + 15) / 16 * 16;
  for (j = first; j < begin; ++j) scores.p[j] = 0.0F;
  for (j = end; j < last; ++j) scores.p[j] = 0.0F;
  for (j = first; j < last; j += 16) {
    f32x16 s = load(scores.p + j) * splat(task.scale);
    if (task.softcap > 0) s = tanh(s / splat(task.softcap)) * splat(task.softcap);
    store(scores.p + j, s);
  }
  for (j = first; j < begin; ++j) scores.p[j] = kMinusInfinity;
  for (j = end; j < last; ++j) scores.p[j] = kMinusInfinity;
  f32x16 max16 = splat(kMinusInfinity);
  for (j = first; j < last; j += 16) max16 = max(max16, load(scores.p + j));
  scores.max = tree_max(max16);

  f32x16 sum = splat(0.0F);
  for (j = first; j < last; j += 16) {
    const f32x16 p = exp(load(scores.p + j) - splat(scores.max));
    sum = sum + p;
    store(scores.p + j, p);
  }
  scores.sum = tree_sum(sum);
}

/// out[d ... d + 16 n) = sum_j p_j v_j, j ascending.
template <int n, class Rows>
inline void weigh_whole(const Rows& v, const float* p, int64_t begin, int64_t end, int64_t d,
                        float* out) {
  f32x16 sums[n];
  for (int i = 0; i < n; ++i) sums[i] = splat(0.0F);
  for (int64_t j = begin; j < end; ++j) {
    const f32x16 pj = splat(p[j]);
    for (int i = 0; i < n; ++i) sums[i] = mul_add(pj, v.whole(j, d + 16 * i), sums[i]);
  }
  for (int i = 0; i < n; ++i) store(out + d + 16 * i, sums[i]);
}

template <class Rows>
inline void weigh_block(const Rows& v, const float* p, int64_t begin, int64_t end, float* out) {
  const int64_t whole = v.head_dim / 16 * 16;
  int64_t d = 0;
  for (; d + 128 <= whole; d += 128) weigh_whole<8>(v, p, begin, end, d, out);
  for (; d + 64 <= whole; d += 64) weigh_whole<4>(v, p, begin, end, d, out);
  for (; d < whole; d += 16) weigh_whole<1>(v, p, begin, end, d, out);
  if (whole != v.head_dim) {
    f32x16 sum = splat(0.0F);
    for (int64_t j = begin; j < end; ++j) sum = mul_add(splat(p[j]), v.tail(j, whole), sum);
    store(out + whole, sum);
  }
}

inline float exp_of(float x) {
  float lanes[16];
  store(lanes, exp(splat(x)));
  return lanes[0];
}

/// The running softmax: after some blocks, max, sum of exp(s - max), and the weighted values.
struct Softmax {
  alignas(64) float values[kMaxHeadDim];
  float max = kMinusInfinity;
  float sum = 0.0F;

  /// Joins a part with its own maximum; part has `n` lanes, or is null: no values.
  void join(float part_max, float part_sum, const float* part, int64_t n) {
    const float joint = part_max > max ? part_max : max;
    const float mine = exp_of(max - joint), theirs = exp_of(part_max - joint);
    max = joint;
    sum = sum * mine + part_sum * theirs;
    for (int64_t d = 0; d < n; d += 16) {
      f32x16 v = load(values + d) * splat(mine);
      if (part) v = mul_add(load(part + d), splat(theirs), v);
      store(values + d, v);
    }
  }
};

template <KvType type>
inline void attend_as(const AttendTask& task) {
  const int64_t lanes = (task.head_dim + 15) / 16 * 16;
  alignas(64) float q[kMaxHeadDim], part[kMaxHeadDim];
  std::memset(q, 0, sizeof q);
  std::memcpy(q, task.q, static_cast<size_t>(task.head_dim) * sizeof(float));
  Softmax softmax;
  std::memset(softmax.values, 0, static_cast<size_t>(lanes) * sizeof(float));
  BlockScores scores;
  for (int64_t b = task.first / kKvBlockTokens; b * kKvBlockTokens <= task.last; ++b) {
    const int64_t base = b * kKvBlockTokens;
    const int64_t begin = task.first > base ? task.first - base : 0;
    const int64_t left = task.last + 1 - base;
    const int64_t end = left < kKvBlockTokens ? left : kKvBlockTokens;
    if (begin >= end) continue;  // last < first: nothing is visible
    const KvRows<type> k{static_cast<const std::byte*>(task.k_blocks[b]), task.head_dim};
    const KvRows<type> v{static_cast<const std::byte*>(task.v_blocks[b]), task.head_dim};
    score_block(task, q, k, begin, end, scores);
    weigh_block(v, scores.p, begin, end, part);
    softmax.join(scores.max, scores.sum, part, lanes);
  }
  if (task.has_sink) softmax.join(task.sink, 1.0F, nullptr, lanes);
  const f32x16 sum = splat(softmax.sum > 0 || softmax.sum != softmax.sum ? softmax.sum : 1.0F);
  for_lanes(task.head_dim, [&](int64_t i, int64_t m) {
    store_lanes(task.out + i, load(softmax.values + i) / sum, m);
  });
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

}  // namespace
}  // namespace sluice::kernels
