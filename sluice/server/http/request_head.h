#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::server {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// A request's first line and headers.
struct RequestHead {
  std::string method = {};
  std::string path =
      {};  ///< percent-decoded, without the query and without slashes at its end: "/v1/models"
  std::string query = {};  ///< what follows '?', as it came
  int minor_version = 1;   ///< of HTTP/1.x
  std::string host = {};   ///< as Host, or an absolute target, has it; empty only in HTTP/1.0
  Headers headers = {};    ///< names in lower case
  std::optional<uint64_t> content_length = std::nullopt;
  bool chunked = false;
  bool keeps_alive = true;
  bool expects_continue = false;

  bool has_body() const { return chunked || content_length.value_or(0) > 0; }
  /// The first of that name (in lower case); nullopt without one.
  std::optional<std::string_view> header(std::string_view name) const;
};

/// Reads a head, its empty line included. Strictly as RFC 9112 has it, so that no proxy before us sees other borders
/// of requests: no folded lines, no bare CR or LF, no space before a colon, one Host, one Content-Length, which is
/// digits only, and never with Transfer-Encoding, which is "chunked" alone.
/// Throws Refusal: 400, 417 (Expect), 431 (more than 100 headers), 501 (a transfer coding), 505 (no HTTP/1.x).
RequestHead parse_head(std::string_view bytes);

/// Where the head ends that `bytes` begins with, its empty line included; nullopt when more is to come. What cannot
/// become a head any more ends where that shows: parse_head() refuses it.
std::optional<size_t> find_head_end(std::string_view bytes);

/// "%41" becomes "A". nullopt for what is no percent-encoding, and for a zero byte.
std::optional<std::string> percent_decoded(std::string_view text);

/// Whether they are the same but for the case of ASCII letters.
bool same_word(std::string_view a, std::string_view b);

}  // namespace sluice::server
