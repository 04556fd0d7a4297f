#pragma once

// Integer dot products in plain C++: the definition.

#include "sluice/kernels/simd_portable.h"
//
#include "sluice/kernels/int8_generic.h"

namespace sluice::kernels {
namespace {

/// sum[i] += w[4 i] x[4 i] + ... + w[4 i + 3] x[4 i + 3]; w unsigned, x signed. Codes are at most 128 unless `wide`.
template <bool wide>
inline i32x16 dot4(i32x16 sum, u8x64 w, const void* x) {
  uint8_t a[64];
  int8_t b[64];
  int32_t out[16];
  std::memcpy(a, &w, sizeof a);
  std::memcpy(b, x, sizeof b);
  std::memcpy(out, &sum, sizeof out);
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 4; ++j) out[i] += a[4 * i + j] * b[4 * i + j];
  }
  return load_int(out);
}
/// The same with the four bytes of x for every lane.
template <bool wide>
inline i32x16 dot4_each(i32x16 sum, u8x64 w, int32_t x) {
  int32_t all[16];
  for (int i = 0; i < 16; ++i) all[i] = x;
  return dot4<wide>(sum, w, all);
}

}  // namespace
}  // namespace sluice::kernels
