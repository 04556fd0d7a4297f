#pragma once

// Codes of 4 or 5 bits to weights by arithmetic, for the sets that cannot permute 16 floats at once.

namespace sluice::kernels {
namespace {

/// w = (code + zero) * scale + bias for codes of 4 or 5 bits; the bits above are ignored.
/// A bias of -0 changes nothing.
struct Linear {
  f32x16 scale, bias;
  i32x16 zero;
};
using Linear16 = Linear;
using Linear32 = Linear;
inline Linear make_linear16(float scale, int32_t zero, float bias) {
  return {splat(scale), splat(bias), splat_int(zero)};
}
inline Linear make_linear32(float scale, int32_t zero, float bias) {
  return {splat(scale), splat(bias), splat_int(zero)};
}
inline f32x16 decode16(const Linear16& l, i32x16 codes) {
  return to_float((codes & splat_int(15)) + l.zero) * l.scale + l.bias;
}
inline f32x16 decode32(const Linear32& l, i32x16 codes) {
  return to_float((codes & splat_int(31)) + l.zero) * l.scale + l.bias;
}

}  // namespace
}  // namespace sluice::kernels
