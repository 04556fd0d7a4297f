#include "sluice/server/dialects/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "sluice/base/printable.h"

namespace sluice::server {
namespace {

std::string_view kind_of(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  if (value.is_string()) return "a string";
  if (value.is_boolean()) return "a boolean";
  if (value.is_number()) return "a number";
  return "null";
}

}  // namespace

void refuse_field(const std::string& path, std::string_view why, std::string_view code) {
  throw Refusal::field(path, fmt::format("{}: {}", path.empty() ? "the body" : path, why),
                       std::string(code));
}

void refuse_type(const Json& value, const std::string& path, std::string_view wanted) {
  refuse_field(path, fmt::format("is {}, wanted {}", kind_of(value), wanted), "invalid_type");
}

std::string indexed(std::string_view path, size_t index) {
  return fmt::format("{}[{}]", path, index);
}

std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool to_boolean(const Json& value, const std::string& path) {
  if (!value.is_boolean()) refuse_type(value, path, "true or false");
  return value.get<bool>();
}

int64_t to_integer(const Json& value, const std::string& path, int64_t least, int64_t most) {
  if (!value.is_number()) refuse_type(value, path, "an integer");
  const double approximate = value.get<double>();
  if (std::floor(approximate) != approximate) {
    refuse_field(path, fmt::format("is {}, wanted an integer", approximate), "invalid_type");
  }
  // Beyond 2^63 a double is no int64_t, and casting one is undefined.
  const bool fits = std::abs(approximate) < 9.2e18;
  const int64_t number = !fits                     ? (approximate < 0 ? INT64_MIN : INT64_MAX)
                         : value.is_number_float() ? static_cast<int64_t>(approximate)
                                                   : value.get<int64_t>();
  if (number < least || number > most) {
    refuse_field(path, fmt::format("is {}, wanted from {} to {}", value.dump(), least, most));
  }
  return number;
}

double to_number(const Json& value, const std::string& path, double least, double most) {
  if (!value.is_number()) refuse_type(value, path, "a number");
  const auto number = value.get<double>();
  if (!(number >= least && number <= most)) {
    refuse_field(path, fmt::format("is {}, wanted from {} to {}", number, least, most));
  }
  return number;
}

const std::string& to_text(const Json& value, const std::string& path) {
  if (!value.is_string()) refuse_type(value, path, "a string");
  return value.get_ref<const std::string&>();
}

const Json& to_array(const Json& value, const std::string& path, size_t most) {
  if (!value.is_array()) refuse_type(value, path, "an array");
  if (value.size() > most) {
    refuse_field(path, fmt::format("has {} items, at most {} are read", value.size(), most));
  }
  return value;
}

std::vector<text::Token> to_tokens(const Json& value, const std::string& path) {
  if (!value.is_array()) refuse_type(value, path, "an array of token ids");
  std::vector<text::Token> tokens;
  tokens.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    tokens.push_back(static_cast<text::Token>(
        to_integer(value[i], indexed(path, i), 0, std::numeric_limits<text::Token>::max())));
  }
  return tokens;
}

Fields::Fields(const Json& value, std::string path) : object_(&value), path_(std::move(path)) {
  if (!value.is_object()) refuse_type(value, path_, "an object");
  known_.resize(value.size());
}

std::string Fields::path(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

const Json* Fields::any(std::string_view name) {
  const auto found = object_->find(name);
  if (found == object_->end()) return nullptr;
  known_[static_cast<size_t>(std::distance(object_->begin(), found))] = true;
  return found->is_null() ? nullptr : &*found;
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const Json* value = any(name);
  return value ? std::optional(to_boolean(*value, path(name))) : std::nullopt;
}

std::optional<int64_t> Fields::integer(std::string_view name, int64_t least, int64_t most) {
  const Json* value = any(name);
  return value ? std::optional(to_integer(*value, path(name), least, most)) : std::nullopt;
}

std::optional<double> Fields::number(std::string_view name, double least, double most) {
  const Json* value = any(name);
  return value ? std::optional(to_number(*value, path(name), least, most)) : std::nullopt;
}

std::optional<std::string> Fields::text(std::string_view name) {
  const Json* value = any(name);
  return value ? std::optional(to_text(*value, path(name))) : std::nullopt;
}

std::string Fields::required_text(std::string_view name) {
  const Json* value = any(name);
  if (!value) refuse_field(path(name), "is missing, wanted a string", "missing_required_parameter");
  return to_text(*value, path(name));
}

std::optional<std::string> Fields::word(std::string_view name,
                                        std::initializer_list<std::string_view> words) {
  auto value = text(name);
  if (value && std::ranges::find(words, *value) == words.end()) {
    refuse_field(path(name), fmt::format("is \"{}\", wanted one of: {}", printable_name(*value),
                                         fmt::join(words, ", ")));
  }
  return value;
}

std::optional<Fields> Fields::object(std::string_view name) {
  const Json* value = any(name);
  return value ? std::optional<Fields>(std::in_place, *value, path(name)) : std::nullopt;
}

const Json* Fields::array(std::string_view name, size_t most) {
  const Json* value = any(name);
  return value ? &to_array(*value, path(name), most) : nullptr;
}

void Fields::neutral(std::span<const std::string_view> names) {
  for (const std::string_view name : names) any(name);
}

void Fields::only(std::string_view name, std::initializer_list<Json> values, std::string_view why) {
  const Json* value = any(name);
  if (value && std::ranges::find(values, *value) == values.end()) {
    refuse_field(path(name), why, "unsupported_value");
  }
}

void Fields::refuse(std::span<const Refused> table) {
  for (const Refused& refused : table) {
    if (has(refused.name)) refuse_field(path(refused.name), refused.why, "unsupported_parameter");
  }
}

void Fields::finish() const {
  size_t i = 0;
  for (const auto& [name, value] : object_->items()) {
    if (!known_[i++] && !value.is_null()) {
      refuse_field(path(printable_name(name)),
                   "is not a field that this server knows; leave it out", "unknown_parameter");
    }
  }
}

}  // namespace sluice::server
