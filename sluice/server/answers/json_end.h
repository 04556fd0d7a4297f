#pragma once

#include <cstddef>
#include <string_view>

namespace sluice::server {

/// Follows a JSON object or array that comes in pieces, as far as is needed to see its end.
class JsonEnd {
 public:
  /// Bytes of `text` up to and with the one that closes the value; npos when more is to come.
  size_t push(std::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
      if (take(text[i])) return i + 1;
    }
    return std::string_view::npos;
  }
  bool in_string() const { return in_string_; }

 private:
  bool take(char c) {
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      return --depth_ <= 0;
    }
    return false;
  }

  int depth_ = 0;
  bool in_string_ = false, escaped_ = false;
};

}  // namespace sluice::server
