#include "sluice/server/http/request_head.h"

#include <algorithm>
#include <charconv>

#include "sluice/base/printable.h"
#include "sluice/server/refusal.h"

namespace sluice::server {
namespace {

constexpr size_t kMostHeaders = 100;
constexpr std::string_view kSpace = " \t";

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lowered(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), lower);
  return result;
}

/// RFC 9110, 5.6.2.
bool is_token(std::string_view text) {
  static constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
           kMarks.find(c) != kMarks.npos;
  });
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

[[noreturn]] void refuse(int status, const std::string& message) { throw Refusal(status, message); }

/// Takes the text up to `end` from the front of `rest`, and `end` too.
std::string_view take_until(std::string_view& rest, std::string_view end) {
  const size_t at = rest.find(end);
  const std::string_view taken = rest.substr(0, at);
  rest.remove_prefix(at == rest.npos ? rest.size() : at + end.size());
  return taken;
}

void check_bytes(std::string_view line) {
  for (const char c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7F)
      refuse(400, "the request's head holds a control character");
  }
}

void read_target(std::string_view target, RequestHead& head) {
  if (const size_t scheme = target.starts_with("http://") ? 7 : 0; scheme > 0) {
    target.remove_prefix(scheme);
    const size_t path = std::min(target.find_first_of("/?"), target.size());
    head.host = target.substr(0, path);
    target.remove_prefix(path);
    if (target.empty()) target = "/";
  }
  const bool ok = target == "*" ? head.method == "OPTIONS" : target.starts_with("/");
  if (!ok) refuse(400, "the request's target is no path: '" + printable_name(target) + "'");
  for (const char c : target) {
    if (c == ' ' || c == '\t' || c == '#') refuse(400, "the request's target holds a space or '#'");
  }
  const std::string_view path = take_until(target, "?");
  head.query = target;
  const auto decoded = percent_decoded(path);
  if (!decoded) refuse(400, "the path is not percent-encoded: '" + printable_name(path) + "'");
  head.path = *decoded;
  while (head.path.size() > 1 && head.path.ends_with('/')) head.path.pop_back();
}

void read_first_line(std::string_view line, RequestHead& head) {
  check_bytes(line);
  head.method = take_until(line, " ");
  const std::string_view target = take_until(line, " ");
  if (!is_token(head.method) || target.empty()) refuse(400, "this is no HTTP request");
  if (line == "HTTP/1.0") {
    head.minor_version = 0;
    head.keeps_alive = false;
  } else if (line != "HTTP/1.1") {
    if (line.starts_with("HTTP/") && line.size() == 8) refuse(505, "only HTTP/1.1 is spoken here");
    refuse(400, "this is no HTTP request");
  }
  read_target(target, head);
}

void read_header(std::string_view line, RequestHead& head) {
  check_bytes(line);
  if (line.starts_with(' ') || line.starts_with('\t')) refuse(400, "a header is folded");
  const size_t colon = line.find(':');
  const std::string_view name = line.substr(0, colon);
  if (colon == line.npos || !is_token(name)) refuse(400, "a header has no name");
  if (head.headers.size() == kMostHeaders) refuse(431, "there are more than 100 headers");
  head.headers.emplace_back(lowered(name), trimmed(line.substr(colon + 1)));
}

/// The only value of a header; nullopt without one.
std::optional<std::string_view> single(const RequestHead& head, std::string_view name) {
  const auto is = [&](const auto& header) { return header.first == name; };
  if (std::ranges::count_if(head.headers, is) > 1)
    refuse(400, "the header " + std::string(name) + " is there twice");
  return head.header(name);
}

void read_framing(RequestHead& head) {
  const auto length = single(head, "content-length");
  const auto coding = single(head, "transfer-encoding");
  if (length && coding) refuse(400, "Content-Length and Transfer-Encoding exclude each other");
  if (length) {
    uint64_t value = 0;
    const char* const end = length->data() + length->size();
    const auto [stop, error] = std::from_chars(length->data(), end, value);
    if (error != std::errc{} || stop != end) refuse(400, "Content-Length is not a number");
    head.content_length = value;
  }
  if (coding) {
    if (head.minor_version == 0) refuse(400, "HTTP/1.0 has no Transfer-Encoding");
    if (!same_word(*coding, "chunked")) refuse(501, "no Transfer-Encoding but chunked is known");
    head.chunked = true;
  }
}

void read_connection(RequestHead& head) {
  for (const auto& [name, value] : head.headers) {
    if (name != "connection") continue;
    for (std::string_view rest = value; !rest.empty();) {
      const std::string_view word = trimmed(take_until(rest, ","));
      if (same_word(word, "close")) head.keeps_alive = false;
      if (same_word(word, "keep-alive") && head.minor_version == 0) head.keeps_alive = true;
    }
  }
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (lower(c) >= 'a' && lower(c) <= 'f') return lower(c) - 'a' + 10;
  return -1;
}

}  // namespace

std::optional<std::string_view> RequestHead::header(std::string_view name) const {
  const auto found = std::ranges::find(headers, name, &Headers::value_type::first);
  if (found == headers.end()) return std::nullopt;
  return found->second;
}

RequestHead parse_head(std::string_view bytes) {
  RequestHead head;
  if (!bytes.ends_with("\r\n\r\n")) refuse(400, "this is no HTTP request: lines end with CR LF");
  bytes.remove_suffix(2);
  read_first_line(take_until(bytes, "\r\n"), head);
  while (!bytes.empty()) read_header(take_until(bytes, "\r\n"), head);
  const auto host = single(head, "host");
  if (!host && head.minor_version == 1) refuse(400, "the header Host is missing");
  if (host && head.host.empty()) head.host = *host;
  read_framing(head);
  read_connection(head);
  if (const auto expected = single(head, "expect")) {
    if (!same_word(*expected, "100-continue")) refuse(417, "only 100-continue can be expected");
    head.expects_continue = head.minor_version == 1;
  }
  return head;
}

std::optional<size_t> find_head_end(std::string_view bytes) {
  if (!bytes.empty() && !is_token(bytes.substr(0, 1))) return 1;
  size_t line = 0;
  while (true) {
    const size_t end = bytes.find('\n', line);
    if (end == bytes.npos) return std::nullopt;
    if (end == 0 || bytes[end - 1] != '\r') return end + 1;
    if (end == line + 1) return end + 1;  // an empty line
    line = end + 1;
  }
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
    result += static_cast<char>(16 * high + low);
    i += 2;
  }
  return result;
}

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

}  // namespace sluice::server
