#include "sluice/models/source.h"

#include <cmath>

#include "sluice/base/error.h"

namespace sluice::models {
namespace {

constexpr int64_t kLargest = int64_t{1} << 31;

}  // namespace

Source Source::from_config(nlohmann::json config, std::string where) {
  Source source;
  source.config_ = std::move(config);
  source.where_ = std::move(where);
  const auto type = source.string({"model_type", ""});
  if (!type) fail(ErrorKind::bad_model, "{}: has no model_type", source.where_);
  source.architecture_ = *type;
  return source;
}

Source Source::from_gguf(const io::Gguf& gguf, std::string where) {
  Source source;
  source.gguf_ = &gguf.metadata;
  source.where_ = std::move(where);
  const auto type = gguf.metadata.string("general.architecture");
  if (!type) fail(ErrorKind::bad_model, "{}: has no general.architecture", source.where_);
  source.architecture_ = *type;
  return source;
}

std::string Source::architecture() const { return architecture_; }

const nlohmann::json* Source::find(std::string_view path) const {
  const nlohmann::json* at = &config_;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string name(path.substr(0, slash));
    if (!at->is_object()) return nullptr;
    const auto it = at->find(name);
    if (it == at->end() || it->is_null()) return nullptr;
    at = &*it;
    path = slash == std::string_view::npos ? "" : path.substr(slash + 1);
  }
  return at == &config_ ? nullptr : at;
}

std::string Source::gguf_key(std::string_view pattern) const {
  return pattern.starts_with('%') ? architecture_ + std::string(pattern.substr(1))
                                  : std::string(pattern);
}

void Source::wrong(const Key& key, std::string_view wanted) const {
  fail(ErrorKind::bad_model, "{}: {} is not {}", where_,
       is_gguf() ? gguf_key(key.gguf) : std::string(key.hf), wanted);
}

std::optional<double> Source::number(const Key& key) const {
  std::optional<double> value;
  if (is_gguf()) {
    if (!key.gguf.empty()) value = gguf_->number(gguf_key(key.gguf));
  } else if (const nlohmann::json* found = find(key.hf)) {
    if (!found->is_number()) wrong(key, "a number");
    value = found->get<double>();
  }
  if (value && !std::isfinite(*value)) wrong(key, "a finite number");
  return value;
}

std::optional<int64_t> Source::integer(const Key& key) const {
  const auto value = number(key);
  if (!value) return std::nullopt;
  if (*value < 0 || *value > static_cast<double>(kLargest) || *value != std::floor(*value)) {
    wrong(key, "a whole number from 0 to 2^31");
  }
  return static_cast<int64_t>(*value);
}

int64_t Source::required_integer(const Key& key) const {
  const auto value = integer(key);
  if (!value) {
    fail(ErrorKind::bad_model, "{}: {} is missing", where_,
         is_gguf() ? gguf_key(key.gguf) : std::string(key.hf));
  }
  return *value;
}

std::optional<bool> Source::boolean(const Key& key) const {
  if (is_gguf()) return key.gguf.empty() ? std::nullopt : gguf_->boolean(gguf_key(key.gguf));
  const nlohmann::json* found = find(key.hf);
  if (found == nullptr) return std::nullopt;
  if (!found->is_boolean()) wrong(key, "true or false");
  return found->get<bool>();
}

std::optional<std::string> Source::string(const Key& key) const {
  if (is_gguf()) {
    if (key.gguf.empty()) return std::nullopt;
    const auto found = gguf_->string(gguf_key(key.gguf));
    return found ? std::optional<std::string>(*found) : std::nullopt;
  }
  const nlohmann::json* found = find(key.hf);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) wrong(key, "a string");
  return found->get<std::string>();
}

std::optional<std::vector<double>> Source::numbers(const Key& key) const {
  if (is_gguf()) {
    if (key.gguf.empty()) return std::nullopt;
    const io::GgufValue* value = gguf_->find(gguf_key(key.gguf));
    if (value == nullptr) return std::nullopt;
    if (!std::holds_alternative<io::GgufArray>(*value)) wrong(key, "an array");
    return std::get<io::GgufArray>(*value).numbers();
  }
  const nlohmann::json* found = find(key.hf);
  if (found == nullptr) return std::nullopt;
  if (!found->is_array()) wrong(key, "an array of numbers");
  std::vector<double> values;
  for (const auto& element : *found) {
    if (element.is_boolean()) {
      values.push_back(element.get<bool>() ? 1 : 0);
    } else if (element.is_number()) {
      values.push_back(element.get<double>());
    } else {
      wrong(key, "an array of numbers");
    }
  }
  return values;
}

std::optional<std::vector<std::string>> Source::strings(const Key& key) const {
  if (is_gguf()) return std::nullopt;
  const nlohmann::json* found = find(key.hf);
  if (found == nullptr) return std::nullopt;
  if (!found->is_array()) wrong(key, "an array of strings");
  std::vector<std::string> values;
  for (const auto& element : *found) {
    if (!element.is_string()) wrong(key, "an array of strings");
    values.push_back(element.get<std::string>());
  }
  return values;
}

}  // namespace sluice::models
