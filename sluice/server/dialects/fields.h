#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/server/ask.h"

namespace sluice::server {

/// A field that would change the answer and is not honoured, and why.
struct Refused {
  std::string_view name, why;
};

/// Reads the fields of one JSON object of a request. Each is either asked for, or neutral (it cannot change a local
/// answer), or a Refusal (400) that names it by its path, "messages[2].content". null is absent.
class Fields {
 public:
  /// The object must outlive this. path: empty for the body itself. Throws Refusal unless value is an object.
  Fields(const Json& value, std::string path);

  /// The value, or null where it is absent.
  const Json* any(std::string_view name);
  bool has(std::string_view name) { return any(name) != nullptr; }
  std::optional<bool> boolean(std::string_view name);
  /// 3.0 counts as 3.
  std::optional<int64_t> integer(std::string_view name, int64_t least, int64_t most);
  std::optional<double> number(std::string_view name, double least, double most);
  std::optional<std::string> text(std::string_view name);
  std::string required_text(std::string_view name);
  /// One of these.
  std::optional<std::string> word(std::string_view name,
                                  std::initializer_list<std::string_view> words);
  std::optional<Fields> object(std::string_view name);
  /// Null where it is absent.
  const Json* array(std::string_view name, size_t most);

  /// Accepts the fields whatever they hold.
  void neutral(std::span<const std::string_view> names);
  /// Accepts the field where it holds what would be done anyway.
  void only(std::string_view name, std::initializer_list<Json> values, std::string_view why);
  /// Throws for the first of these that is there.
  void refuse(std::span<const Refused> table);
  /// Throws for the first field that nobody asked for.
  void finish() const;

  std::string path(std::string_view name) const;

 private:
  const Json* object_;
  std::string path_;
  std::vector<bool> known_;  // by the object's order
};

// The same for a value that stands in an array. Throw Refusal naming `path`.
bool to_boolean(const Json& value, const std::string& path);
int64_t to_integer(const Json& value, const std::string& path, int64_t least, int64_t most);
double to_number(const Json& value, const std::string& path, double least, double most);
const std::string& to_text(const Json& value, const std::string& path);
const Json& to_array(const Json& value, const std::string& path, size_t most);
std::vector<text::Token> to_tokens(const Json& value, const std::string& path);

/// "stop[3]"
std::string indexed(std::string_view path, size_t index);
/// "is a number, wanted a string"
[[noreturn]] void refuse_type(const Json& value, const std::string& path, std::string_view wanted);
/// 400 that says "path: why".
[[noreturn]] void refuse_field(const std::string& path, std::string_view why,
                               std::string_view code = "invalid_value");

/// JSON text in which whatever is no UTF-8 is U+FFFD.
std::string dump(const Json& value);

}  // namespace sluice::server
