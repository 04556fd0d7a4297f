#pragma once

// Scales of q4_k and q5_k by integers, for the sets without a way of their own. Comes after one simd_*.h.

#include "sluice/kernels/float/dequantize_gguf_body.h"

namespace sluice::kernels {
namespace {

/// Eight lanes a, eight lanes b.
inline f32x16 splat_halves(float a, float b) {
  return if_less(to_float(load_int(kIota.lane)), splat(8.0F), splat(a), splat(b));
}

/// Scales and offsets of the blocks at p and q, eight each.
[[gnu::always_inline]] inline void k_block_scales(const std::byte* p, const std::byte* q,
                                                  f32x16& scale, f32x16& bias) {
  uint32_t s[4], m[4];
  const std::byte* blocks[2] = {p, q};
  for (int i = 0; i < 2; ++i) {
    const uint32_t a = load_as<uint32_t>(blocks[i] + 4), b = load_as<uint32_t>(blocks[i] + 8);
    const uint32_t c = load_as<uint32_t>(blocks[i] + 12);
    s[2 * i] = a & 0x3f3f3f3f;
    s[2 * i + 1] = (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030);
    m[2 * i] = b & 0x3f3f3f3f;
    m[2 * i + 1] = (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030);
  }
  scale = to_float(widen_u8(bytes_of(s[0], s[1], s[2], s[3]))) *
          splat_halves(load_half(p), load_half(q));
  bias = to_float(widen_u8(bytes_of(m[0], m[1], m[2], m[3]))) *
         splat_halves(-load_half(p + 2), -load_half(q + 2));
}

}  // namespace
}  // namespace sluice::kernels
