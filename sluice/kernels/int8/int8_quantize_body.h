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

/// Columns beyond `cols` are zeros, up to the next multiple of 64, and so are groups up to the next multiple of 16.
inline void quantize(const float* x, int64_t begin, int64_t end, int64_t cols,
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
  const int64_t padded = end == cols ? row.padded_cols() : end;
  if (end == cols) {
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
    const float largest = tree_max(magnitude);
    const float check = tree_sum(a * splat(0.0F) + b * splat(0.0F));
    float scale = largest / 127.0F, inverse = 127.0F / largest;
    if (!(largest > 0x1p-100F)) scale = inverse = 0.0F;
    if (check != 0.0F) {  // not finite: the group's results are NaN
      scale = __builtin_nanf("");
      inverse = 0.0F;
      a = b = splat(0.0F);
    }
    const i32x16 p = to_nearest_int(a * splat(inverse)), q = to_nearest_int(b * splat(inverse));
    store_int8(out + k, p);
    store_int8(out + k + 16, q);
    const float sum_p = tree_sum(to_float(p)), sum_q = tree_sum(to_float(q));
    set(of32, n32, k / 32, scale, sum_p + sum_q);
    set(of16, n16, k / 16, scale, sum_p);
    set(of16, n16, k / 16 + 1, scale, sum_q);
  }
}

}  // namespace
}  // namespace sluice::kernels
