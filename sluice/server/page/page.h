#pragma once

#include <optional>
#include <string_view>

namespace sluice::server {

/// A file of the page, which the program holds.
struct PageFile {
  std::string_view content_type;
  std::string_view bytes;
  std::string_view etag;  ///< of the bytes, in quotes, as the header has it
};

/// By a URL's path: "/", "/favicon.ico" or "/page/NAME"; nothing for all others.
std::optional<PageFile> page_file(std::string_view path);

/// The value of Content-Security-Policy that goes with every file: nothing from elsewhere, nothing inline, and no text
/// that becomes markup. The page depends on nothing that this forbids.
inline constexpr std::string_view page_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

}  // namespace sluice::server
