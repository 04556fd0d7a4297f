#pragma once

#include <cstdint>
#include <optional>

namespace sluice {

/// a + b, a * b, and a rounded up to a multiple of unit (unit > 0); nullopt when 64 bits cannot hold it.
/// For sizes that come from files: an overflow there is damage, not arithmetic.
constexpr std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::nullopt : std::optional(sum);
}

constexpr std::optional<uint64_t> checked_multiply(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::nullopt : std::optional(product);
}

constexpr std::optional<uint64_t> checked_round_up(uint64_t a, uint64_t unit) {
  const uint64_t rest = a % unit;
  return rest == 0 ? std::optional(a) : checked_add(a, unit - rest);
}

}  // namespace sluice
