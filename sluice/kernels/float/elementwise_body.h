#pragma once

// Norms, rope, gated activations, key/value storage.

#include "sluice/kernels/float/matmul_body.h"
#include "sluice/kernels/kernels.h"
#include "sluice/kernels/simd/math_body.h"

namespace sluice::kernels {
namespace {

/// body(i, n): sixteen elements from i, of which n exist (16 but at the end).
template <class Body>
[[gnu::always_inline]] inline void for_lanes(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) body(i, int64_t{16});
  if (i < n) body(i, n - i);
}
inline f32x16 load_lanes(const float* p, int64_t n) { return n == 16 ? load(p) : load_some(p, n); }
inline void store_lanes(float* p, f32x16 a, int64_t n) {
  if (n == 16) {
    store(p, a);
  } else {
    store_some(p, a, n);
  }
}

inline void rms_norm(const float* x, const float* weight, float weight_offset, int64_t n, float eps,
                     float* y) noexcept {
  f32x16 squares = splat(0.0F);
  for_lanes(n, [&](int64_t i, int64_t m) {
    const f32x16 v = load_lanes(x + i, m);
    squares = mul_add(v, v, squares);
  });
  const float mean = tree_sum(squares) / static_cast<float>(n);
  const f32x16 scale = splat(1.0F / __builtin_sqrtf(mean + eps));
  for_lanes(n, [&](int64_t i, int64_t m) {
    f32x16 v = load_lanes(x + i, m) * scale;
    if (weight) v = v * (load_lanes(weight + i, m) + splat(weight_offset));
    store_lanes(y + i, v, m);
  });
}

inline void layer_norm(const float* x, const float* weight, const float* bias, int64_t n, float eps,
                       float* y) noexcept {
  f32x16 sum = splat(0.0F), squares = splat(0.0F);
  for_lanes(n, [&](int64_t i, int64_t m) { sum = sum + load_lanes(x + i, m); });
  const f32x16 mean = splat(tree_sum(sum) / static_cast<float>(n));
  for_lanes(n, [&](int64_t i, int64_t m) {
    f32x16 d = load_lanes(x + i, m) - mean;
    if (m != 16) {  // lanes beyond the end add nothing
      float lanes[16];
      store(lanes, d);
      d = load_some(lanes, m);
    }
    squares = mul_add(d, d, squares);
  });
  const float variance = tree_sum(squares) / static_cast<float>(n);
  const f32x16 scale = splat(1.0F / __builtin_sqrtf(variance + eps));
  for_lanes(n, [&](int64_t i, int64_t m) {
    f32x16 v = (load_lanes(x + i, m) - mean) * scale;
    if (weight) v = v * load_lanes(weight + i, m);
    if (bias) v = v + load_lanes(bias + i, m);
    store_lanes(y + i, v, m);
  });
}

/// Products and differences rounded one by one, so plain loops: the compiler's vectors change nothing.
inline void rope(float* head, const float* cos, const float* sin, int64_t n_pairs,
                 bool interleaved) noexcept {
  const int64_t step = interleaved ? 2 : 1, apart = interleaved ? 1 : n_pairs;
  if (!interleaved) {
    for (int64_t i = 0; i + 16 <= n_pairs; i += 16) {
      const f32x16 a = load(head + i), b = load(head + i + n_pairs);
      const f32x16 c = load(cos + i), s = load(sin + i);
      store(head + i, a * c - b * s);
      store(head + i + n_pairs, b * c + a * s);
    }
  }
  for (int64_t i = interleaved ? 0 : n_pairs / 16 * 16; i < n_pairs; ++i) {
    const float a = head[i * step], b = head[i * step + apart];
    head[i * step] = a * cos[i] - b * sin[i];
    head[i * step + apart] = b * cos[i] + a * sin[i];
  }
}

template <class Act>
[[gnu::always_inline]] inline void gated_by(Act act, const float* gate, const float* up, int64_t n,
                                            float* y) {
  for_lanes(n, [&](int64_t i, int64_t m) {
    store_lanes(y + i, act(load_lanes(gate + i, m), load_lanes(up + i, m)), m);
  });
}

/// Calls use(f), where f is the activation of sixteen elements.
template <class Use>
[[gnu::always_inline]] inline void with_activation(Activation act, Use use) {
  switch (act) {
    case Activation::silu:
      return use([](f32x16 x) { return silu(x); });
    case Activation::gelu:
      return use([](f32x16 x) { return gelu(x); });
    case Activation::gelu_tanh:
      return use([](f32x16 x) { return gelu_tanh(x); });
    case Activation::relu:
      return use([](f32x16 x) { return max(splat(0.0F), x); });
    case Activation::relu_squared:
      return use([](f32x16 x) {
        const f32x16 r = max(splat(0.0F), x);
        return r * r;
      });
    case Activation::sigmoid:
      return use([](f32x16 x) { return sigmoid_times(splat(1.0F), x); });
    case Activation::exp:
      return use([](f32x16 x) { return exp(x); });
    case Activation::swiglu_clipped:
      return;  // has two inputs
  }
}

inline void activate(Activation act, const float* x, int64_t n, float* y) noexcept {
  with_activation(act, [=](auto f) {
    for_lanes(n, [&](int64_t i, int64_t m) { store_lanes(y + i, f(load_lanes(x + i, m)), m); });
  });
}

inline void gated(Activation act, float limit, const float* gate, const float* up, int64_t n,
                  float* y) noexcept {
  if (act == Activation::swiglu_clipped) {
    return gated_by(
        [=](f32x16 g, f32x16 u) {
          g = min(splat(limit), g);
          u = max(splat(-limit), min(splat(limit), u));
          return sigmoid_times(g, g * splat(1.702F)) * (u + splat(1.0F));
        },
        gate, up, n, y);
  }
  with_activation(
      act, [=](auto f) { gated_by([&](f32x16 g, f32x16 u) { return f(g) * u; }, gate, up, n, y); });
}

/// The float's upper half, rounded to nearest even; NaN stays NaN.
inline void store_bf16(void* p, f32x16 x) {
  const i32x16 b = bits(x);
  const i32x16 odd = shift_right<16>(b) & splat_int(1);
  const i32x16 rounded = shift_right<16>(b + splat_int(0x7fff) + odd);
  const i32x16 quiet = shift_right<16>(b) | splat_int(0x40);
  const i32x16 nan = shift_right_signed<31>(splat_int(0x7f800000) - (b & splat_int(0x7fffffff)));
  const i32x16 other = splat_int(-1) - nan;
  store_u16(p, (rounded & other) | (quiet & nan));
}

inline void store_kv(const float* src, int64_t n, KvType type, void* dst) noexcept {
  if (type == KvType::f32) {
    std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float));
    return;
  }
  std::byte* out = static_cast<std::byte*>(dst);
  for_lanes(n, [&](int64_t i, int64_t m) {
    std::byte half[32];
    std::byte* to = m == 16 ? out + 2 * i : half;
    const f32x16 v = load_lanes(src + i, m);
    if (type == KvType::f16) {
      store_f16(to, v);
    } else {
      store_bf16(to, v);
    }
    if (m != 16) std::memcpy(out + 2 * i, half, static_cast<size_t>(m) * 2);
  });
}

inline void add_scaled(const float* x, float scale, int64_t n, float* y) noexcept {
  for_lanes(n, [&](int64_t i, int64_t m) {
    store_lanes(y + i, mul_add(splat(scale), load_lanes(x + i, m), load_lanes(y + i, m)), m);
  });
}

inline void add_product(const float* a, const float* b, int64_t n, float* y) noexcept {
  for_lanes(n, [&](int64_t i, int64_t m) {
    store_lanes(y + i, mul_add(load_lanes(a + i, m), load_lanes(b + i, m), load_lanes(y + i, m)),
                m);
  });
}

}  // namespace
}  // namespace sluice::kernels
