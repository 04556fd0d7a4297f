#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sluice/server/http/request_head.h"

namespace sluice::server {

/// "Not Found" for 404.
std::string_view reason_of(int status);

/// A response's head, its empty line included. content_length: unset, the body is chunked, or ends with the
/// connection where HTTP/1.0 is spoken. Control characters in headers' values are left out.
struct ReplyHead {
  int status = 200;
  std::string_view content_type = {};  ///< empty: there is no content
  std::optional<size_t> content_length = std::nullopt;
  bool keeps_alive = true;
  int minor_version = 1;
};
std::string head_text(const ReplyHead& head, const Headers& headers);

/// Appends a chunk; nothing for no bytes, since an empty one would be the last.
void append_chunk(std::string_view bytes, std::string& out);
constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace sluice::server
