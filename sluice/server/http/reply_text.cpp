#include "sluice/server/http/reply_text.h"

#include <fmt/format.h>

#include <ctime>
#include <iterator>

namespace sluice::server {
namespace {

/// RFC 9110, 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT", whatever the locale.
std::string http_date(std::time_t time) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm tm{};
  gmtime_r(&time, &tm);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[tm.tm_wday], tm.tm_mday,
                     kMonths[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void append_header(std::string_view name, std::string_view value, std::string& out) {
  out += name;
  out += ": ";
  for (const char c : value) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F) out += c;
  }
  out += "\r\n";
}

}  // namespace

std::string_view reason_of(int status) {
  struct Reason {
    int status;
    std::string_view text;
  };
  static constexpr Reason kReasons[] = {
      {200, "OK"},
      {204, "No Content"},
      {304, "Not Modified"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {413, "Content Too Large"},
      {417, "Expectation Failed"},
      {422, "Unprocessable Content"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {503, "Service Unavailable"},
      {505, "HTTP Version Not Supported"},
  };
  for (const Reason& reason : kReasons) {
    if (reason.status == status) return reason.text;
  }
  return "Status";
}

std::string head_text(const ReplyHead& head, const Headers& headers) {
  std::string text =
      fmt::format("HTTP/1.{} {} {}\r\n", head.minor_version, head.status, reason_of(head.status));
  append_header("Date", http_date(std::time(nullptr)), text);
  if (!head.content_type.empty()) append_header("Content-Type", head.content_type, text);
  if (head.content_length) {
    append_header("Content-Length", std::to_string(*head.content_length), text);
  } else if (head.minor_version == 1) {
    append_header("Transfer-Encoding", "chunked", text);
  }
  append_header("Connection", head.keeps_alive ? "keep-alive" : "close", text);
  append_header("X-Content-Type-Options", "nosniff", text);
  for (const auto& [name, value] : headers) append_header(name, value, text);
  return text + "\r\n";
}

void append_chunk(std::string_view bytes, std::string& out) {
  if (bytes.empty()) return;
  fmt::format_to(std::back_inserter(out), "{:x}\r\n", bytes.size());
  out += bytes;
  out += "\r\n";
}

}  // namespace sluice::server
