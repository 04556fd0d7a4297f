#pragma once

// A token's activations rounded to 8 bits (int8_row.h).

#include "sluice/kernels/float/elementwise_body.h"
#include "sluice/kernels/int8_row.h"

namespace sluice::kernels {
namespace {

inline i32x16 to_nearest_int(f32x16 a) {
  const f32x16 magic = splat(0x1.8p23F);
  return bits(a + magic) - bits(magic);
}

/// Takes the high parts out of sixteen whole numbers, as far as those are beyond 127.
inline f32x16 split_high(f32x16& q) {
  const f32x16 rounded = to_float(to_nearest_int(q * splat(0x1p-7F)));
  const f32x16 high = if_less(splat(127.0F), absolute(q), rounded, splat(0.0F));
  q = q - high * splat(128.0F);
  return high;
}

/// A group's high parts, and the byte that says where they are.
inline void store_high(f32x16 low, f32x16 last, std::byte* high, std::byte* wide) {
  store_int8(high, to_nearest_int(low));
  store_int8(high + 16, to_nearest_int(last));
  uint8_t where = 0;
  for (int i = 0; i < 8; ++i) {
    uint32_t four;
    std::memcpy(&four, high + 4 * i, sizeof four);
    where = static_cast<uint8_t>(where | (four != 0) << i);
  }
  std::memcpy(wide, &where, 1);
}

/// Columns beyond `cols` are zeros, up to the next multiple of 64, and so are groups up to the next multiple of 16.
inline void quantize(const float* x, int64_t begin, int64_t end, int64_t cols, float clip,
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
  std::byte *high = out + row.high_offset(), *wide = out + row.wide_offset();
  const int64_t padded = end == cols ? row.padded_cols() : end;
  if (end == cols) {
    std::memset(wide + padded / 32, 0, static_cast<size_t>(n32 - padded / 32));
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
    float largest = tree_max(magnitude);
    const float limit = clip * (1.0F / 32.0F) * tree_sum(absolute(a) + absolute(b));
    const float check = tree_sum(a * splat(0.0F) + b * splat(0.0F));
    const bool clipped = largest > limit && limit > 0.0F;
    if (clipped) largest = limit;
    float scale = largest / 127.0F, inverse = 127.0F / largest;
    if (!(largest > 0x1p-100F)) scale = inverse = 0.0F;
    if (check != 0.0F) {  // not finite: the group's results are NaN
      scale = __builtin_nanf("");
      inverse = 0.0F;
      a = b = splat(0.0F);
    }
    f32x16 p = to_float(to_nearest_int(a * splat(inverse)));
    f32x16 q = to_float(to_nearest_int(b * splat(inverse)));
    const float sum_p = tree_sum(p), sum_q = tree_sum(q);
    f32x16 high_p = splat(0.0F), high_q = splat(0.0F);
    if (clipped) {
      high_p = split_high(p);
      high_q = split_high(q);
    }
    store_high(high_p, high_q, high + k, wide + k / 32);
    store_int8(out + k, to_nearest_int(p));
    store_int8(out + k + 16, to_nearest_int(q));
    set(of32, n32, k / 32, scale, sum_p + sum_q);
    set(of16, n16, k / 16, scale, sum_p);
    set(of16, n16, k / 16 + 1, scale, sum_q);
  }
}

}  // namespace
}  // namespace sluice::kernels
