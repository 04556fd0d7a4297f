#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice::server {

/// How a call in JSON begins: {"name": "f", "arguments": {
struct CallOpening {
  enum class Kind {
    more,   ///< may become one
    other,  ///< is none: another order of keys, arguments as a text, no JSON at all
    call,
  };
  Kind kind = Kind::other;
  std::string name = {};
  size_t arguments = 0;  ///< the offset of their '{'
};

/// Looks at the first bytes of what may be a call. Names with escapes, and longer than 256 bytes, are left to whoever
/// parses the whole.
CallOpening find_opening(std::string_view body);

}  // namespace sluice::server
