#include "sluice/server/http/trace_context.h"

#include <algorithm>
#include <string_view>

namespace sluice::server {
namespace {

constexpr size_t kSize = 55;  // of version 00

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == text.npos;
}

bool is_id(std::string_view text) {
  return is_hex(text) && text.find_first_not_of('0') != text.npos;
}

}  // namespace

std::string TraceContext::header() const {
  return empty() ? "" : "00-" + trace_id + "-" + parent_id + "-" + flags;
}

TraceContext trace_context_of(const RequestHead& head) {
  const auto is = [](const auto& header) { return header.first == "traceparent"; };
  if (std::ranges::count_if(head.headers, is) != 1) return {};
  const std::string_view text = *head.header("traceparent");
  if (text.size() < kSize) return {};
  const std::string_view version = text.substr(0, 2), trace = text.substr(3, 32),
                         parent = text.substr(36, 16), flags = text.substr(53, 2);
  const bool apart = text[2] == '-' && text[35] == '-' && text[52] == '-';
  const bool ends = text.size() == kSize || (version != "00" && text[kSize] == '-');
  if (!apart || !ends || !is_hex(version) || version == "ff" || !is_id(trace) || !is_id(parent) ||
      !is_hex(flags))
    return {};
  return {std::string(trace), std::string(parent), std::string(flags)};
}

}  // namespace sluice::server
