#pragma once

#include <string>
#include <string_view>

#include "sluice/server/ask.h"

namespace sluice::server {

enum class LogFormat {
  text,  ///< request method=GET path=/v1/models status=200
  json,  ///< {"time": "2026-11-28T09:30:00.000000Z", "event": "request", "method": "GET", ...}
};

/// A line of the log, without its line feed; ASCII without control characters, whatever the values hold.
/// fields: an object of strings, numbers and booleans. Those that are null or an empty string are left out.
std::string log_line(LogFormat format, std::string_view event, const Json& fields);

}  // namespace sluice::server
