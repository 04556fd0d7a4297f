#pragma once

// exp and the functions made of it, on sixteen lanes. Comes after one simd_*.h.

namespace sluice::kernels {
namespace {

inline f32x16 absolute(f32x16 x) { return floats(bits(x) & splat_int(0x7fffffff)); }
/// The magnitude of a with the sign of b; a is not negative.
inline f32x16 with_sign_of(f32x16 a, f32x16 b) {
  return floats(bits(a) | (bits(b) & splat_int(static_cast<int32_t>(0x80000000))));
}
inline f32x16 negate(f32x16 x) { return splat(-0.0F) - x; }

/// e^x within 2 units in the last place; 0 below -104, infinity above 89, NaN stays.
/// x = n ln 2 + r; e^r by a polynomial (fitted, relative error 3e-9 on |r| <= ln 2 / 2); 2^n in two
/// factors, so that subnormal results are rounded once.
inline f32x16 exp(f32x16 x) {
  x = min(splat(89.0F), max(splat(-104.0F), x));
  const f32x16 magic = splat(0x1.8p23F);  // adding it rounds to an integer, kept in the low bits
  const f32x16 shifted = mul_add(x, splat(0x1.715476p0F), magic);
  const i32x16 n = bits(shifted) - bits(magic);
  const f32x16 whole = shifted - magic;
  f32x16 r = mul_add(whole, splat(-0x1.63p-1F), x);  // exact: 9 bits of ln 2 times 8 bits
  r = mul_add(whole, splat(0x1.bd0106p-13F), r);     // the rest of ln 2, negated
  f32x16 p = splat(0.00139505393F);
  p = mul_add(p, r, splat(0.00836891867F));
  p = mul_add(p, r, splat(0.041666206F));
  p = mul_add(p, r, splat(0.166665182F));
  p = mul_add(p, r, splat(0.5F));
  p = mul_add(p * r, r, r) + splat(1.0F);
  const i32x16 half = shift_right_signed<1>(n);
  const f32x16 low = floats(shift_left<23>(half + splat_int(127)));
  const f32x16 high = floats(shift_left<23>(n - half + splat_int(127)));
  return p * low * high;
}

/// tanh x: a polynomial below 0.625 (fitted, relative error 5e-9), else 1 - 2 / (e^2x + 1).
inline f32x16 tanh(f32x16 x) {
  const f32x16 a = absolute(x);
  const f32x16 far = splat(1.0F) - splat(2.0F) / (exp(a + a) + splat(1.0F));
  const f32x16 z = x * x;
  f32x16 p = splat(-0.00566077651F);
  p = mul_add(p, z, splat(0.0206019953F));
  p = mul_add(p, z, splat(-0.053729225F));
  p = mul_add(p, z, splat(0.133313283F));
  p = mul_add(p, z, splat(-0.333332777F));
  const f32x16 near = mul_add(p * z, x, x);
  return if_less(a, splat(0.625F), near, with_sign_of(far, x));
}

/// The normal distribution's Phi(x) = erfc(-x / sqrt 2) / 2, absolute error below 1e-7.
/// erfc(z) = exp(-z P(z)), P fitted on [0, 4.3]; beyond, erfc is below 1.2e-9 and is taken as 0.
inline f32x16 normal_cdf(f32x16 x) {
  const f32x16 z = absolute(x) * splat(0.707106781F);
  f32x16 p = splat(-8.04387946e-06F);
  p = mul_add(p, z, splat(0.000106027153F));
  p = mul_add(p, z, splat(-0.000587952498F));
  p = mul_add(p, z, splat(0.00157676358F));
  p = mul_add(p, z, splat(-5.87851791e-05F));
  p = mul_add(p, z, splat(-0.019217141F));
  p = mul_add(p, z, splat(0.102799207F));
  p = mul_add(p, z, splat(0.636616111F));
  p = mul_add(p, z, splat(1.12837934F));
  const f32x16 near = splat(0.5F) * exp(negate(z * p));
  const f32x16 tail = if_less(splat(4.3F), z, splat(0.0F), near);
  return if_less(x, splat(0.0F), tail, splat(1.0F) - tail);
}

inline f32x16 sigmoid_times(f32x16 x, f32x16 u) {  // x / (1 + e^-u)
  return x / (splat(1.0F) + exp(negate(u)));
}
inline f32x16 silu(f32x16 x) { return sigmoid_times(x, x); }
inline f32x16 gelu(f32x16 x) { return x * normal_cdf(x); }
/// x / 2 (1 + tanh u) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3).
inline f32x16 gelu_tanh(f32x16 x) {
  const f32x16 inner = mul_add(x * x * x, splat(0.044715F), x);
  return sigmoid_times(x, inner * splat(1.59576912F));
}

}  // namespace
}  // namespace sluice::kernels
