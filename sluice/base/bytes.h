#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

/// A number of bytes, kept apart from other integers by its type.
struct Bytes {
  uint64_t count = 0;
  friend constexpr auto operator<=>(Bytes, Bytes) = default;
};

constexpr Bytes operator+(Bytes a, Bytes b) { return {a.count + b.count}; }
/// a - b, and nothing where b is more.
constexpr Bytes difference(Bytes a, Bytes b) { return {a > b ? a.count - b.count : 0}; }

/// Reads "3GB" (10^9), "2GiB" (2^30), "700MB", "64KB"; a bare number is bytes; a fraction is fine ("1.5GB").
/// Throws Error(bad_request) on anything else.
Bytes parse_bytes(std::string_view text);

/// "1.50 GB", "253 MB", "12 B": decimal units, three significant digits.
std::string to_string(Bytes bytes);

}  // namespace sluice
