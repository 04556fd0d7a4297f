#include "sluice/base/bytes.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "sluice/base/error.h"

namespace sluice {
namespace {

constexpr std::array<std::pair<std::string_view, double>, 10> kUnits{{
    {"", 1.0},
    {"B", 1.0},
    {"KB", 1e3},
    {"MB", 1e6},
    {"GB", 1e9},
    {"TB", 1e12},
    {"KiB", 1024.0},
    {"MiB", 1024.0 * 1024},
    {"GiB", 1024.0 * 1024 * 1024},
    {"TiB", 1024.0 * 1024 * 1024 * 1024},
}};

}  // namespace

Bytes parse_bytes(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  if (error == std::errc{} && std::isfinite(number) && number >= 0) {
    for (const auto& [name, scale] : kUnits) {
      if (unit == name && number * scale < 1e18) {
        return {static_cast<uint64_t>(number * scale)};
      }
    }
  }
  fail(ErrorKind::bad_request,
       "'{}' is not a size: write it as 3GB, 700MB, 2GiB or a number of bytes", text);
}

std::string to_string(Bytes bytes) {
  const auto value = static_cast<double>(bytes.count);
  for (const auto& [name, scale] : {std::pair{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}}) {
    if (value >= scale) {
      const double scaled = value / scale;
      return fmt::format("{:.{}f} {}", scaled, scaled < 10 ? 2 : scaled < 100 ? 1 : 0, name);
    }
  }
  return fmt::format("{} B", bytes.count);
}

}  // namespace sluice
