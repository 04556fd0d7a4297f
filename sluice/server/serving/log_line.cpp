#include "sluice/server/serving/log_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "sluice/server/dialects/telling.h"

namespace sluice::server {
namespace {

std::string ascii(const Json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

/// Without quotes where it needs none.
std::string shown(const Json& value) {
  if (value.is_number_float()) return fmt::format("{:.6g}", value.get<double>());
  if (!value.is_string()) return ascii(value);
  const auto& text = value.get_ref<const std::string&>();
  const bool plain = std::ranges::all_of(
      text, [](char c) { return c > ' ' && c < 0x7F && c != '"' && c != '=' && c != '\\'; });
  return plain ? text : ascii(value);
}

std::string now() {
  using namespace std::chrono;
  const auto since = system_clock::now().time_since_epoch();
  const int64_t us = duration_cast<microseconds>(since).count();
  return rfc3339(us / 1'000'000, us % 1'000'000);
}

}  // namespace

std::string log_line(LogFormat format, std::string_view event, const Json& fields) {
  Json line{{"time", now()}, {"event", event}};
  std::string text(event);
  for (const auto& [name, value] : fields.items()) {
    if (value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty()))
      continue;
    if (format == LogFormat::json) {
      line[name] = value;
    } else {
      text += fmt::format(" {}={}", name, shown(value));
    }
  }
  return format == LogFormat::json ? ascii(line) : text;
}

}  // namespace sluice::server
