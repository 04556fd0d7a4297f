#include "sluice/server/answers/call_opening.h"

#include <algorithm>

namespace sluice::server {
namespace {

using Kind = CallOpening::Kind;

constexpr size_t kLongestName = 256;

/// Goes along the text; `kind` says what became of it when a step fails.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  Kind kind() const { return kind_; }
  size_t at() const { return at_; }

  bool take(std::string_view wanted) {
    skip_space();
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with(wanted)) {
      at_ += wanted.size();
      return true;
    }
    kind_ = wanted.starts_with(rest) ? Kind::more : Kind::other;
    return false;
  }

  /// A string without escapes.
  bool take_string(std::string_view& string) {
    if (!take("\"")) return false;
    const size_t end = std::min(text_.find_first_of("\"\\", at_), text_.size());
    if (end - at_ > kLongestName || (end < text_.size() && text_[end] == '\\')) {
      kind_ = Kind::other;
      return false;
    }
    string = text_.substr(at_, end - at_);
    at_ = end;
    return take("\"");
  }

 private:
  void skip_space() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }

  std::string_view text_;
  size_t at_ = 0;
  Kind kind_ = Kind::other;
};

}  // namespace

CallOpening find_opening(std::string_view body) {
  Cursor cursor(body);
  std::string_view name, key;
  const bool opened = cursor.take("{") && cursor.take("\"name\"") && cursor.take(":") &&
                      cursor.take_string(name) && cursor.take(",") && cursor.take_string(key) &&
                      cursor.take(":") && cursor.take("{");
  if (!opened) return {.kind = cursor.kind()};
  if (name.empty() || (key != "arguments" && key != "parameters")) return {.kind = Kind::other};
  return {.kind = Kind::call, .name = std::string(name), .arguments = cursor.at() - 1};
}

}  // namespace sluice::server
