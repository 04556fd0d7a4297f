#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace sluice::convert {

/// The nearest bfloat16, ties to even.
inline uint16_t to_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>(bits >> 16 | 64U);
  return static_cast<uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}
inline float from_bf16(uint16_t x) { return std::bit_cast<float>(uint32_t{x} << 16); }

/// The nearest float16, ties to even; too large is infinity.
inline uint16_t to_f16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), sign = bits >> 16 & 0x8000U;
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<uint16_t>(sign | 0x7E00U);
  if (magnitude >= 0x477FF000U) return static_cast<uint16_t>(sign | 0x7C00U);
  if (magnitude <
      0x38800000U) {  // subnormal there: units of 2^-24, which adding 0.5 leaves in the low bits
    const float sum = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(sum) - 0x3F000000U));
  }
  const uint32_t rounded = magnitude + 0xFFFU + (magnitude >> 13 & 1U);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}
inline float from_f16(uint16_t x) {
  const uint32_t sign = uint32_t{x} << 16 & 0x80000000U, magnitude = x & 0x7FFFU;
  float value = static_cast<float>(magnitude) * 0x1p-24F;
  if (magnitude >= 0x0400U) {
    const uint32_t exponent = magnitude >= 0x7C00U ? 0x70000000U : 0x38000000U;
    value = std::bit_cast<float>((magnitude << 13) + exponent);
  }
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
}

/// The nearest whole number, ties to even, of a value below 2^22 in magnitude: in the low bits of the sum. Unlike rint() it
/// is two instructions that compilers vectorize.
constexpr float kRounder = 12582912.0F;  // 1.5 * 2^23
inline int nearest(float x) {
  return static_cast<int>(std::bit_cast<uint32_t>(x + kRounder) & 0x7FFFFFU) - 0x400000;
}

template <class T>
void put(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

}  // namespace sluice::convert
